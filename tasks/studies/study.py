"""A study: a claim of the literature as a sweep, with a rule that was stated before the run and a verdict by it.

studies/NAME.yaml holds the claim, its source and published numbers, the measures, the rules, and two sweeps, `quick`
(minutes, the world, two cores) and `full` (a GPU, real data).

    measures: {clusterfit: {run: rotation_cf, protocol: linear}, ...}      at: {K: V} picks points of the grid
    axis: label_noise                                                      of the grid: what "@0.5" stands for
    rules: [{greater: clusterfit@0.5, than: pretrained@0.5 + 0.01, negligible: 0.02}, ...]
    floor: untrained                                                       a measure, taken at the point of another

A rule's two sides are sums and differences of measures and numbers. It is judged by the paired differences over seeds
(judging.py). A rule is open where none of its measures lies three points above the floor: networks that learnt nothing
obey many rules. A rule over encoders (over_encoders.py) is judged by a test over these. A claim is reproduced where all
rules hold, not reproduced where one fails or its difference is negligible, else undecided.

A setting without targets runs what the measures need.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.project.project import Project
from tasks.selection.scope import RUNS, members
from tasks.settings.schema import Field, ParameterError, check_block
from tasks.settings.stage_kinds import STUDY_FILES
from tasks.studies import judging, over_encoders
from tasks.studies.checks import check_numbers, check_study, terms
from tasks.studies.measures import Named, named, targets
from tasks.sweeps import results
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.results import Mean, Record
from tasks.sweeps.settings import Measure, Sweep, short

REPRODUCED, NOT_REPRODUCED, UNDECIDED = "reproduced", "not reproduced", "undecided"
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
    "floor": Field("str", False),
    "rules": Field("list", True),
    "beside": Field("list", False),
    "remark": Field("str", False),
    **{setting: Field("dict", True) for setting in SETTINGS},
}
PUBLISHED = {"measure": Field("str", True), "numbers": Field("dict", True)}


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

    @property
    def places(self) -> list[str]:
        """The values of the grid that the axis has."""
        return [str(v) for key, values in self.sweep.grid.items() if short(key) == self.axis for v in values]

    def record(self, term: str, records: Sequence[Record], seed: int) -> Record:
        """The point that "MEASURE" or "MEASURE@PLACE" stands for. Raises ParameterError where there is none."""
        name, _, place = term.partition("@")
        at = {**self.measures[name].at, **({self.axis: place} if place else {})}
        for record in records:
            settings = {short(key): value for key, value in record["settings"].items()}
            if record["seed"] == seed and all(str(settings.get(key)) == str(value) for key, value in at.items()):
                return record
        raise ParameterError(f"study {self.name}: no point has {at} and seed {seed}.")


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
    for other in SETTINGS:  # the one that is not asked for must not rot
        own = {"targets": []} | content[other] | ({"kind": content["kind"]} if "kind" in content else {})
        every = members(sweeps.settled(project, own, f"{where}: {other}"), RUNS)
        measures = {key: named(block, every, f"{where}: measures.{key}") for key, block in content["measures"].items()}
        if "targets" not in content[other]:
            own["targets"] = targets(measures.values())
        sweep = sweeps.build(project, f"{name}_{other}", own, f"{where}: {other}")
        study = Study(name, other, content, sweep, measures)
        check_study(study, where)
        if other == setting:
            chosen = study
    return chosen


def judge(study: Study, records: Sequence[Record]) -> dict[str, Any]:
    """The study's outcome, as results/studies/NAME.json keeps it; records: those of all points of its sweep."""
    rules = judging.settle([judged for rule in study.content["rules"] for judged in _judged(study, rule, records)])
    shown = study.content.get("shown") or [name for name in study.measures if name not in over_encoders.used(study)]
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
        "ours": {name: dict(_values(study, name, records)) for name in shown},
        **over_encoders.outcome(study, records),
    }


def verdict(outcomes: Sequence[str]) -> str:
    """Of the outcomes of all rules."""
    if judging.FAILS in outcomes or judging.NEGLIGIBLE in outcomes:
        return NOT_REPRODUCED
    return REPRODUCED if all(outcome == judging.HOLDS for outcome in outcomes) else UNDECIDED


def _judged(study: Study, rule: Mapping[str, Any], records: Sequence[Record]) -> Iterator[dict[str, Any]]:
    """A rule as `settle` takes it; of a rule over encoders, one for each pair of measures that it names.

    The p of a correlation is that of rho = 0: a rule with another `above` has none.
    """
    if over_encoders.is_over_encoders(rule):
        for one in over_encoders.expanded(study, rule):
            found = over_encoders.found(study, one, records)
            above = float(one["above"])
            ends = Mean(found["rho"] - above, found["low"] - above, found["high"] - above, found["encoders"])
            yield {
                "rule": over_encoders.text(one),
                **_told(ends, math.nan if above else found["p"]),
                "association": found,
            }
        return
    differences = [
        _side(study, rule["greater"], records, seed) - _side(study, rule["than"], records, seed)
        for seed in study.sweep.seeds
    ]
    yield {
        "rule": f"{rule['greater']} > {rule['than']}",
        **_told(results.mean(differences), judging.p_value(differences)),
        "seeds_needed": judging.seeds_needed(differences, len(study.content["rules"])),
        "at_floor": _is_at_floor(study, rule, records),
        **(_within(differences, rule["negligible"], study) if "negligible" in rule else {}),
    }


def _within(differences: Sequence[float], bound: float, study: Study) -> dict[str, Any]:
    """What is known of a difference being negligible."""
    p = judging.p_negligible(differences, bound)
    needed = judging.seeds_negligible(differences, bound, len(study.content["rules"]))
    return {"negligible": bound, "p_negligible": None if math.isnan(p) else p, "seeds_negligible": needed}


def _told(difference: Mean, p: float) -> dict[str, Any]:
    ends = (None, None) if math.isnan(difference.low) else (difference.low, difference.high)
    return {"difference": difference.value, "low": ends[0], "high": ends[1], "p": None if math.isnan(p) else p}


def _is_at_floor(study: Study, rule: Mapping[str, Any], records: Sequence[Record]) -> bool:
    """Whether no measure of the rule lies more than MARGIN above the floor of its own point, in the mean over seeds."""
    if "floor" not in study.content:
        return False
    floor = study.measures[study.content["floor"]]

    def above(term: str) -> float:
        own = study.measures[term.partition("@")[0]]
        points = [study.record(term, records, seed) for seed in study.sweep.seeds]
        return statistics.fmean(
            own.value(point, own.measures[0]) - floor.value(point, floor.measures[0]) for point in points
        )

    used = [term for side in ("greater", "than") for _, term in terms(rule[side]) if isinstance(term, str)]
    return max(map(above, used)) <= judging.MARGIN


def _side(study: Study, side: str | float, records: Sequence[Record], seed: int) -> float:
    return sum(
        sign * (term if isinstance(term, float) else _several(study, term, records, seed)[0])
        for sign, term in terms(side)
    )


def _several(study: Study, term: str, records: Sequence[Record], seed: int) -> list[float]:
    """The values of a measure at a point, one for each of its runs."""
    own = study.measures[term.partition("@")[0]]
    record = study.record(term, records, seed)
    return [own.value(record, measure) for measure in own.measures]


def _values(study: Study, name: str, records: Sequence[Record]) -> Iterator[tuple[str, Any]]:
    """Place on the axis, or run, or layer, or "" -> the mean over seeds and its interval's ends."""
    own = study.measures[name]
    places = study.places if study.axis and study.axis not in own.at else [""]
    for place in places:
        term = f"{name}@{place}" if place else name
        found = [_several(study, term, records, seed) for seed in study.sweep.seeds]
        for number, measure in enumerate(own.measures):
            mean = results.mean([values[number] for values in found])
            ends = [None if math.isnan(end) else end for end in (mean.low, mean.high)]
            yield _word(own, measure, place), [mean.value, *ends]


def _word(own: Named, measure: Measure, place: str) -> str:
    """What tells one of several values from the others: the run, the layer or the place on the axis."""
    if len(set(own.runs)) > 1:
        return measure.run
    return measure.layer if len(own.measures) > 1 else place
