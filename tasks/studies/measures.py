"""The measures of a study: which number of which runs, at which settings, and whether more of it is better.

{run: rotation, protocol: linear}                   one run; {layers: [res4, res5]} of several layers
{runs: all, without: [random], protocol: knn}       every run of the kind, but for those that are named
{..., layer: pooled, better: less}                  a loss: the measure is its value times -1
{..., layer: pooled, near: 1}                       best at 1: the measure is minus the distance from 1
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.selection.scope import ALL
from tasks.settings.schema import Field, ParameterError, check_block, unknown
from tasks.settings.values import shown
from tasks.sweeps import results
from tasks.sweeps.results import Record
from tasks.sweeps.settings import BEST, Measure

MORE, LESS = "more", "less"
FIELDS = {
    "run": Field("str", False),
    "runs": Field("str|list[str]", False),
    "without": Field("list[str]", False),
    "protocol": Field("str", True),
    "metric": Field("str", False),
    "layer": Field("str", False),
    "layers": Field("list[str]", False),
    "at": Field("dict", False),
    "better": Field("str", False),
    "near": Field("float", False),
}


@dataclass(frozen=True)
class Named:
    """A measure of a study: of one run, or of several, or of several layers, in their order.

    at: settings of the grid, by their last names. better: "more", "less", or the number that is best.
    """

    measures: tuple[Measure, ...]
    at: Mapping[str, Any] = field(default_factory=dict)
    better: str | float = MORE

    @property
    def runs(self) -> tuple[str, ...]:
        return tuple(measure.run for measure in self.measures)

    def value(self, record: Record, measure: Measure) -> float:
        """The number of a point, so that more is better. Raises ParameterError where the point has none."""
        return oriented(results.value(record, measure), self.better)


def oriented(value: float, better: str | float) -> float:
    """The same number where more is better, -value where less is, -|value - best| where one value is."""
    if better == LESS:
        return -value
    return value if isinstance(better, str) else -abs(value - better)


def named(block: Any, every: Sequence[str], where: str) -> Named:
    """What a measure's block says. every: the runs there are, for `runs: all`."""
    if not isinstance(block, dict):
        raise ParameterError(f"{where} must be a mapping such as {{run: rotation, protocol: linear}}.")
    check_block(block, FIELDS, where)
    layers = block.get("layers") or [block.get("layer", BEST)]
    runs = _runs(block, every, where)
    if len(runs) > 1 and len(layers) > 1:
        raise ParameterError(f"{where}: give several runs or several layers, not both.")
    measures = [Measure(run, block["protocol"], block.get("metric", ""), layer) for run in runs for layer in layers]
    return Named(tuple(measures), block.get("at") or {}, _better(block, where))


def targets(measures: Iterable[Named]) -> list[str]:
    """What must have been run for all measures, each once."""
    return list(dict.fromkeys(measure.target for named in measures for measure in named.measures))


def _runs(block: Mapping[str, Any], every: Sequence[str], where: str) -> list[str]:
    if ("run" in block) == ("runs" in block):
        raise ParameterError(f"{where}: give either 'run' or 'runs'.")
    runs = block.get("runs", [block.get("run")])
    if isinstance(runs, str):
        if runs != ALL:
            raise ParameterError(f"{where}.runs is {shown(runs)}; it must be a list of runs, or '{ALL}'.")
        runs = list(every)
    elif ALL in runs and ALL not in every:
        raise ParameterError(f"{where}.runs: '{ALL}' stands alone, without other runs: runs: {ALL}.")
    if not runs:
        raise ParameterError(f"{where}.runs is empty; name at least one run.")
    left_out = block.get("without", [])
    for name in left_out:
        if name not in runs:
            raise unknown("run", name, runs, f"{where}.without")
    if len(set(runs)) < len(runs):
        raise ParameterError(f"{where}.runs has a run twice: {shown(runs)}.")
    kept = [run for run in runs if run not in left_out]
    if not kept:
        raise ParameterError(f"{where}.without leaves no run.")
    return kept


def _better(block: Mapping[str, Any], where: str) -> str | float:
    better = block.get("better", MORE)
    if better not in (MORE, LESS):
        raise ParameterError(f"{where}.better is {shown(better)}; it must be '{MORE}' or '{LESS}'.")
    if "better" in block and "near" in block:
        raise ParameterError(f"{where}: give either 'better' or 'near'.")
    if ("near" in block or better == LESS) and "layer" not in block and "layers" not in block:
        raise ParameterError(
            f"{where}: name the layer; the best one is that with the most, which is not the best here."
        )
    return float(block["near"]) if "near" in block else str(better)
