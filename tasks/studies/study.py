"""A study: a claim of the literature as a sweep, with a rule that was stated before the run and a verdict by it.

studies/NAME.yaml holds the claim, its source and published numbers, the measures, the rules, and two sweeps, `quick`
(minutes, the world, two cores) and `full` (a GPU, real data).

    measures: {clusterfit: {run: rotation_cf, protocol: linear}, ...}      at: {K: V} picks points of the grid
    axis: label_noise                                                      of the grid: what "@0.5" stands for
    rules: [{greater: clusterfit@0.5, than: pretrained@0.5 + 0.01}, ...]

A rule's two sides are sums and differences of measures and numbers. It is judged by the paired difference over seeds
and its 95 % interval by Student's t: it holds where the interval lies above zero, it fails where it lies below, and is
open where it holds zero. A claim is reproduced where all rules hold, not reproduced where one fails, else undecided.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.project.project import Project
from tasks.settings.schema import Field, ParameterError, check_block
from tasks.settings.stage_kinds import STUDY_FILES
from tasks.studies.checks import check_numbers, check_study, terms
from tasks.sweeps import results
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.results import Mean, Record
from tasks.sweeps.settings import BEST, Measure, Sweep, short

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
HOLDS, FAILS, OPEN = "holds", "fails", "open"
SETTINGS = ("quick", "full")
FIELDS = {
    "title": Field("str", True),
    "claim": Field("str", True),
    "source": Field("str", True),
    "published": Field("dict", True),
    "measures": Field("dict", True),
    "kind": Field("str", False),
    "axis": Field("str", False),
    "shown": Field("list[str]", False),
    "rules": Field("list", True),
    "remark": Field("str", False),
    **{setting: Field("dict", True) for setting in SETTINGS},
}
PUBLISHED = {"measure": Field("str", True), "numbers": Field("dict", True)}
MEASURE = {
    "run": Field("str", False),
    "runs": Field("list[str]", False),
    "protocol": Field("str", True),
    "metric": Field("str", False),
    "layer": Field("str", False),
    "layers": Field("list[str]", False),
    "at": Field("dict", False),
}


@dataclass(frozen=True)
class Named:
    """A measure of a study: of one run, or of several, or of several layers, in their order.

    at: settings of the grid, by their last names.
    """

    measures: tuple[Measure, ...]
    at: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """What a file says, with the sweep of the setting that was asked for."""

    name: str
    setting: str
    content: Mapping[str, Any]
    sweep: Sweep
    measures: Mapping[str, Named]

    @property
    def axis(self) -> str:
        return str(self.content.get("axis", ""))


def known(project: Project) -> list[str]:
    """The names of the studies there are."""
    return sorted(path.stem for path in (project.root / STUDY_FILES).glob("*.yaml"))


def load(project: Project, name: str, setting: str = "quick") -> Study:
    """A checked study. Raises ParameterError for whatever can be known to be wrong before anything runs."""
    where = f"{STUDY_FILES}/{name}.yaml"
    content = sweeps.read(project, STUDY_FILES, name, "study")
    check_block(content, FIELDS, where)
    check_block(content["published"], PUBLISHED, f"{where}: published")
    check_numbers(content["published"]["numbers"], f"{where}: published.numbers")
    measures = {key: _measure(block, f"{where}: measures.{key}") for key, block in content["measures"].items()}
    for other in SETTINGS:  # the one that is not asked for must not rot
        own = content[other] | ({"kind": content["kind"]} if "kind" in content else {})
        sweep = sweeps.build(project, f"{name}_{other}", own, f"{where}: {other}")
        study = Study(name, other, content, sweep, measures)
        check_study(study, where)
        if other == setting:
            chosen = study
    return chosen


def judge(study: Study, records: Sequence[Record]) -> dict[str, Any]:
    """The study's outcome, as results/studies/NAME.json keeps it; records: those of all points of its sweep."""
    rules = [{**_text(rule), **_judged(study, rule, records)} for rule in study.content["rules"]]
    return {
        "name": study.name,
        "setting": study.setting,
        **{key: study.content[key] for key in ("title", "claim", "source", "published")},
        "remark": study.content.get("remark", ""),
        "axis": study.axis,
        "seeds": list(study.sweep.seeds),
        "points": len(records),
        "seconds": sum(float(record["seconds"]) for record in records),
        "verdict": verdict([rule["outcome"] for rule in rules]),
        "rules": rules,
        "ours": {name: dict(_values(study, name, records)) for name in study.content.get("shown") or study.measures},
    }


def verdict(outcomes: Sequence[str]) -> str:
    """Of the outcomes of all rules."""
    if FAILS in outcomes:
        return NOT_REPRODUCED
    return REPRODUCED if all(outcome == HOLDS for outcome in outcomes) else UNDECIDED


def outcome(difference: Mean) -> str:
    """Whether a rule holds, by the mean difference between its sides and its interval; one seed leaves it open."""
    if difference.low > 0:
        return HOLDS
    return FAILS if difference.high < 0 else OPEN


def _judged(study: Study, rule: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    differences = [_difference(study, rule, records, seed) for seed in study.sweep.seeds]
    mean = results.mean(differences)
    ends = (None, None) if math.isnan(mean.low) else (mean.low, mean.high)
    return {"difference": mean.value, "low": ends[0], "high": ends[1], "outcome": outcome(mean)}


def _text(rule: Mapping[str, Any]) -> dict[str, str]:
    if "correlation" in rule:
        return {"rule": f"rank correlation of {rule['correlation']} with {rule['with']} > {rule['above']:g}"}
    return {"rule": f"{rule['greater']} > {rule['than']}"}


def _difference(study: Study, rule: Mapping[str, Any], records: Sequence[Record], seed: int) -> float:
    if "correlation" in rule:
        from scipy.stats import spearmanr

        pairs = [_several(study, rule[side], records, seed) for side in ("correlation", "with")]
        return float(spearmanr(*pairs).statistic) - float(rule["above"])
    return _side(study, rule["greater"], records, seed) - _side(study, rule["than"], records, seed)


def _side(study: Study, side: str | float, records: Sequence[Record], seed: int) -> float:
    return sum(
        sign * (term if isinstance(term, float) else _several(study, term, records, seed)[0])
        for sign, term in terms(side)
    )


def _several(study: Study, term: str, records: Sequence[Record], seed: int) -> list[float]:
    """The values of a measure at a point, one for each of its runs."""
    name, _, place = term.partition("@")
    named = study.measures[name]
    at = {**named.at, **({study.axis: place} if place else {})}
    for record in records:
        settings = {short(key): value for key, value in record["settings"].items()}
        if record["seed"] == seed and all(str(settings.get(key)) == str(value) for key, value in at.items()):
            return [results.value(record, measure) for measure in named.measures]
    raise ParameterError(f"study {study.name}: no point has {at} and seed {seed}.")


def _values(study: Study, name: str, records: Sequence[Record]) -> Iterator[tuple[str, Any]]:
    """Place on the axis, or run, or layer, or "" -> the mean over seeds and its interval's ends."""
    named = study.measures[name]
    places = _places(study) if study.axis and study.axis not in named.at else [""]
    for place in places:
        term = f"{name}@{place}" if place else name
        found = [_several(study, term, records, seed) for seed in study.sweep.seeds]
        for number, measure in enumerate(named.measures):
            mean = results.mean([values[number] for values in found])
            ends = [None if math.isnan(end) else end for end in (mean.low, mean.high)]
            yield _word(named, measure, place), [mean.value, *ends]


def _word(named: Named, measure: Measure, place: str) -> str:
    """What tells one of several values from the others: the run, the layer or the place on the axis."""
    if len({one.run for one in named.measures}) > 1:
        return measure.run
    return measure.layer if len(named.measures) > 1 else place


def _places(study: Study) -> list[str]:
    return [str(v) for key, values in study.sweep.grid.items() if short(key) == study.axis for v in values]


def _measure(block: Any, where: str) -> Named:
    if not isinstance(block, dict):
        raise ParameterError(f"{where} must be a mapping such as {{run: rotation, protocol: linear}}.")
    check_block(block, MEASURE, where)
    if ("run" in block) == ("runs" in block):
        raise ParameterError(f"{where}: give either 'run' or 'runs'.")
    layers = block.get("layers") or [block.get("layer", BEST)]
    runs = block["runs"] if "runs" in block else [block["run"]]
    if not runs:
        raise ParameterError(f"{where}.runs is empty; name at least one run.")
    if len(runs) > 1 and len(layers) > 1:
        raise ParameterError(f"{where}: give several runs or several layers, not both.")
    measures = [Measure(run, block["protocol"], block.get("metric", ""), layer) for run in runs for layer in layers]
    return Named(tuple(measures), block.get("at") or {})
