"""The headline table: a line a run, a column a measure, the best of each column marked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ssl_models.protocols._common.baselines import BASELINES
from ssl_models.protocols._common.score import Score
from tasks.reporting.imprint import lacking
from tasks.reporting.runs import CONTROLS, Run
from tasks.reporting.tables import DataSet, Measure, best, difference, headline_measures, nmi


@dataclass
class Cell:
    """One cell of the headline table. near: its distance from the best lies within the interval of the difference.

    lacks: why there is no score, in a word or two. reason: the same in full.
    """

    score: Score | None
    value: str = "–"
    interval: str = ""
    layer: str = ""
    lacks: str = ""
    reason: str = ""
    best: bool = False
    near: bool = False


@dataclass
class Row:
    """One line of the headline table: a run's score under each measure; refits follow the run they learnt from."""

    run: Run
    cells: list[Cell]
    nmi: float | None


def headline(data: DataSet) -> tuple[list[Row], list[Row]]:
    """The headline table: the families that compete, best first, and the controls (untrained, then supervised)."""
    shown = headline_measures(data)
    families = [
        [Row(run, [cell(run, m) for m in shown], nmi(run)) for run in (source, *data.descendants(source))]
        for source in data.runs
        if source.source is None
    ]
    ours = [family for family in families if family[0].run.ranked]
    for column in range(len(shown)):
        mark([row.cells[column] for family in ours for row in family])
    controls = [family for family in families if not family[0].run.ranked]
    controls.sort(key=lambda family: CONTROLS.index(family[0].run.role))
    ranked = sorted(ours, key=lambda family: -_height(family))
    return [row for family in ranked for row in family], [row for family in controls for row in family]


def _height(family: list[Row]) -> float:
    """The best of a family under the first measure."""
    scores = [row.cells[0].score for row in family if row.cells]
    return max((score.value for score in scores if score), default=-math.inf)


def cell(run: Run, shown: Measure) -> Cell:
    """A run's best score under a measure, or why there is none."""
    score = best(run, shown)
    if score is None:
        lacks, reason = lacking(run.protocols.get(shown.protocol, {}))
        return Cell(None, lacks=lacks, reason=reason)
    own = {each.layer for each in run.scores(shown.protocol, shown.metric)} - set(BASELINES)
    layer = score.layer if len(own) > 1 else ""
    return Cell(score, shown.number(score.value), shown.interval(score.low, score.high), layer)


def mark(column: list[Cell]) -> None:
    """Mark the best cell of a column, and those whose distance from it lies within the interval."""
    scored = [(side, side.score) for side in column if side.score]
    if not scored:
        return
    winner, top = max(scored, key=lambda pair: pair[1].value)
    winner.best = True
    for side, score in scored:
        side.near = side is not winner and difference(score, top)[1] <= 0
