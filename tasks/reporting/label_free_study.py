"""What the study `label_free` found, in sentences: how far scores without labels order encoders as accuracy does.

It reads results/studies/label_free.json, which the study writes (tasks/studies/board.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from tasks.process.files import read_json
from tasks.project import paths
from tasks.project.project import Project

STUDY = "label_free"
"""The study, and the protocol whose scores it is of."""
IN_WORDS = {"linear": "linear accuracy", "knn": "k-NN accuracy"}
CAUTION = (
    "Rho is Spearman's rank correlation: 1 is the same order, 0 no relation. Intervals are 95 % over families of"
    " encoders; on other data or with other encoders a score may order them in another way."
)


class _Found(NamedTuple):
    """The associations that the study's rules judge, and those beside them (tasks/studies/over_encoders.py)."""

    judged: list[dict[str, Any]]
    beside: list[dict[str, Any]]


def quoted(project: Project) -> list[str]:
    """A sentence a score, and a caution; empty where the study has not been run.

    Raises ValueError naming the file where it is no outcome of such a study.
    """
    found = _read(project)
    scores = dict.fromkeys(one["score"] for one in found.judged)
    sentences = [sentence for score in scores if (sentence := _sentence(found, score))]
    return [*sentences, CAUTION] if sentences else []


def _read(project: Project) -> _Found:
    path = project.root / paths.STUDIES / f"{STUDY}.json"
    if not path.exists():
        return _Found([], [])
    try:
        content = read_json(path)
        rules = [dict(rule["association"]) for rule in content["rules"] if "association" in rule]
        return _Found(rules, [dict(entry["association"]) for entry in content.get("beside", [])])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no outcome of a study ({error}); delete it and run the study again") from error


def _sentence(found: _Found, score: str) -> str:
    """ "Over 50 encoders on cifar10, rankme orders them as k-NN accuracy does with rho +0.35 (+0.12 to +0.55)."."""
    own = [one for one in found.judged if one["score"] == score and one["rho"] is not None]
    parts = []
    for place in dict.fromkeys(one["place"] for one in own):
        here = [one for one in own if one["place"] == place]
        told = " and ".join(f"as {_words(one['with'])} does with rho {_rho(one, found.beside)}" for one in here)
        of_place = f" on {_words(place)}" if place else ""
        parts.append(f"over {here[0]['encoders']} encoders{of_place}, {_words(score)} orders them {told}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def _rho(one: dict[str, Any], beside: Iterable[dict[str, Any]]) -> str:
    """ "+0.56 (+0.31 to +0.71; without controls +0.48)"."""
    ends = "no interval" if one["low"] is None else f"{one['low']:+.2f} to {one['high']:+.2f}"
    same = [o for o in beside if o["without"] and all(o[key] == one[key] for key in ("score", "with", "place"))]
    without = "".join(f"; without controls {other['rho']:+.2f}" for other in same[:1] if other["rho"] is not None)
    return f"{one['rho']:+.2f} ({ends}{without})".replace("-", "−")


def _words(name: str) -> str:
    return IN_WORDS.get(name, name.replace("_", " "))
