"""Rules over encoders: whether one measure orders the encoders of a study as another does.

{correlation: [a, b], with: [c, d], above: 0.3, over: encoders, without: [random]}

Lists stand for every pair, and a measure without @ for every place on the axis. The unit is the encoder, and seeds are
averaged: a rule holds where the interval of the rank correlation (association.py) lies above `above`, fails where it
lies below, and is open where it holds it. `beside` lists such correlations without `above`: reported, not judged.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tasks.settings.schema import Field, ParameterError, check_block, unknown
from tasks.settings.values import shown
from tasks.studies import measures
from tasks.sweeps import results
from tasks.sweeps.results import Record
from tasks.sweeps.settings import Measure

if TYPE_CHECKING:
    from tasks.studies.study import Study

OVER, ENCODERS = "over", "encoders"
FEWEST = 4
"""Of fewer encoders no order is surprising: with three the smallest two-sided p is 1/3."""
BESIDE = {
    "correlation": Field("str|list[str]", True),
    "with": Field("str|list[str]", True),
    OVER: Field("str", True),
    "without": Field("list[str]", False),
}
RULE = BESIDE | {"above": Field("float", True)}


def is_over_encoders(rule: Any) -> bool:
    """Whether a rule's unit is the encoder."""
    return isinstance(rule, Mapping) and OVER in rule


def check(study: Study, rule: Any, where: str, judged: bool = True) -> None:
    """Refuses measures that are not there, of too few encoders or of different ones, and unknown places and runs."""
    if not isinstance(rule, dict):
        raise ParameterError(f"{where} must be a mapping such as {{correlation: a, with: b, over: encoders}}.")
    check_block(rule, RULE if judged else BESIDE, where)
    if rule[OVER] != ENCODERS:
        raise ParameterError(f"{where}.over is {shown(rule[OVER])}; it must be '{ENCODERS}', or left out for seeds.")
    for side in ("correlation", "with"):
        if not rule[side]:
            raise ParameterError(f"{where}.{side} is empty; name at least one measure.")
    for term in [*_listed(rule["correlation"]), *_listed(rule["with"])]:
        name, _, place = term.partition("@")
        if name not in study.measures:
            raise unknown("measure", name, study.measures, where)
        if place and (place not in study.places or study.axis in study.measures[name].at):
            raise ParameterError(f"{where}: '{term}': the {study.setting} grid has no {study.axis or 'axis'} {place}.")
    for one in expanded(study, rule):
        _check_pair(study, one, where)


def _check_pair(study: Study, rule: Mapping[str, Any], where: str) -> None:
    one, other = (study.measures[rule[side].partition("@")[0]] for side in ("correlation", "with"))
    pair = f"{where}: {rule['correlation']} with {rule['with']}"
    for name, own in ((rule["correlation"], one), (rule["with"], other)):
        if len({measure.layer for measure in own.measures}) > 1:
            raise ParameterError(f"{where}: '{name}' is of several layers; over encoders it must be of several runs.")
    if set(one.runs) != set(other.runs):
        alone = sorted(set(one.runs) ^ set(other.runs))
        raise ParameterError(f"{pair}: they are of different runs; only one has {', '.join(alone[:5])}.")
    for name in rule.get("without", []):
        if name not in one.runs:
            raise unknown("run", name, one.runs, f"{where}.without")
    if len(left := set(one.runs) - set(rule.get("without", []))) < FEWEST:
        raise ParameterError(f"{pair}: {len(left)} encoders; a rule over encoders needs at least {FEWEST}.")


def expanded(study: Study, rule: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules of one pair each that a rule stands for, by place, then by what is correlated with."""
    pairs = dict.fromkeys(
        (_placed(study, one, place), _placed(study, other, place))
        for place in study.places or [""]
        for other in _listed(rule["with"])
        for one in _listed(rule["correlation"])
    )
    return [{**rule, "correlation": one, "with": other} for one, other in pairs]


def _placed(study: Study, term: str, place: str) -> str:
    """A measure that stands for every place, as that of one."""
    everywhere = place and "@" not in term and study.axis not in study.measures[term].at
    return f"{term}@{place}" if everywhere else term


def text(rule: Mapping[str, Any]) -> str:
    """ "rank correlation of a@x with b@x > 0.3, over encoders without random"."""
    above = f" > {rule['above']:g}" if "above" in rule else ""
    without = f" without {', '.join(rule['without'])}" if rule.get("without") else ""
    return f"rank correlation of {rule['correlation']} with {rule['with']}{above}, over encoders{without}"


def found(study: Study, rule: Mapping[str, Any], records: Sequence[Record]) -> dict[str, Any]:
    """The association of a rule's two measures, as an outcome keeps it.

    place: of the axis; places: of each of the two, "" where a measure has none. left_out: encoders without a number of
    one of them. Raises ParameterError where fewer than FEWEST have both.
    """
    from tasks.studies.association import associate  # and numpy with it

    terms = [rule[side] for side in ("correlation", "with")]
    sides = [values(study, term, records) for term in terms]
    runs = [run for run in sides[0] if run not in rule.get("without", ())]
    kept = [run for run in runs if all(math.isfinite(side[run]) for side in sides)]
    left_out = [run for run in runs if run not in kept]
    if len(kept) < FEWEST:
        raise ParameterError(
            f"study {study.name}: {text(rule)}: {len(kept)} encoders have both numbers, and at least {FEWEST} must;"
            f" none for {', '.join(left_out[:8])}."
        )
    better = [study.measures[term.partition("@")[0]].better for term in terms]
    one, other = (
        [measures.oriented(side[run], best) for run in kept] for side, best in zip(sides, better, strict=True)
    )
    families = [family(run, study.sweep.parameters["clusterfit"]) for run in kept]
    (score, _, place), (against, _, second) = (term.partition("@") for term in terms)
    told = {"score": score, "with": against, "place": place or second, "places": [place, second]}
    told["without"] = list(rule.get("without", ()))
    return {**told, **associate(one, other, families)._asdict(), "left_out": left_out}


def family(run: str, refits: Mapping[str, Any]) -> str:
    """The pretraining that a run descends from."""
    while run in refits:
        run = refits[run]["source"]
    return run


def values(study: Study, term: str, records: Sequence[Record]) -> dict[str, float]:
    """Run -> a measure's number as the protocol gives it, the mean over seeds; NaN where a run has none."""
    points = [study.record(term, records, seed) for seed in study.sweep.seeds]
    own = study.measures[term.partition("@")[0]].measures
    return {one.run: statistics.fmean(_number(record, one) for record in points) for one in own}


def _number(record: Record, measure: Measure) -> float:
    try:
        return results.value(record, measure)
    except ParameterError:
        return math.nan


def outcome(study: Study, records: Sequence[Record]) -> dict[str, Any]:
    """What an outcome keeps beside its rules; nothing where no rule is over encoders.

    encoders: place -> run -> measure -> number as the protocol gives it. families: run -> its pretraining. better: of
    each measure, see Named. beside: the associations that are not judged.
    """
    beside = [one for rule in study.content.get("beside", ()) for one in expanded(study, rule)]
    judged = [one for rule in study.content["rules"] if is_over_encoders(rule) for one in expanded(study, rule)]
    terms = dict.fromkeys(rule[side] for rule in (*judged, *beside) for side in ("correlation", "with"))
    if not terms:
        return {}
    encoders: dict[str, dict[str, dict[str, float]]] = {}
    for term in terms:
        name, _, place = term.partition("@")
        for run, value in values(study, term, records).items():
            encoders.setdefault(place, {}).setdefault(run, {})[name] = value
    refits = study.sweep.parameters["clusterfit"]
    return {
        "encoders": encoders,
        "families": {run: family(run, refits) for own in encoders.values() for run in own},
        "better": {name: study.measures[name].better for name in used(study)},
        "beside": [{"rule": text(rule), "association": found(study, rule, records)} for rule in beside],
    }


def used(study: Study) -> list[str]:
    """The measures of all rules over encoders, each once."""
    rules = [*filter(is_over_encoders, study.content["rules"]), *study.content.get("beside", ())]
    terms = [term for rule in rules for side in ("correlation", "with") for term in _listed(rule[side])]
    return list(dict.fromkeys(term.partition("@")[0] for term in terms))


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names
