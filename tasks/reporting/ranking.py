"""Which representation is best: the runs that compete, ordered by the headline metric of the protocol that leads."""

from __future__ import annotations

import math

from ssl_models.protocols._common.score import Score
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet, Measure, best, difference, headline_measures


def ranking(data: DataSet) -> list[tuple[Run, Score, Measure]]:
    """Every run that competes and has a score, each at its best layer, best first; equal ones as the parameters order.

    The measure is the same for all: the first of `headline_measures` by which a run that competes has a score.
    """
    for shown in headline_measures(data):
        scored = [(run, best(run, shown)) for run in data.runs if run.ranked]
        if found := [(run, score, shown) for run, score in scored if score]:
            return sorted(found, key=lambda entry: -entry[1].value)
    return []


def floor(data: DataSet, shown: Measure) -> Score | None:
    """The best that an untrained network reaches by a measure; None where none was measured."""
    scored = [best(run, shown) for run in data.runs if run.role == "untrained" and run.source is None]
    return max((score for score in scored if score), key=lambda score: score.value, default=None)


def passes(data: DataSet, score: Score, shown: Measure) -> bool:
    """Whether a score is above the untrained floor by more than the interval of the difference, or there is no floor.

    Where the interval is not known, the difference itself counts.
    """
    level = floor(data, shown)
    if level is None:
        return True
    value, low, _ = difference(level, score)
    return (low if math.isfinite(low) else value) > 0


def winner(data: DataSet) -> Run | None:
    """The run to take: the first of the ranking, unless it does not pass the untrained floor (see `passes`).

    None too where no run that competes has a score.
    """
    ranked = ranking(data)
    return ranked[0][0] if ranked and passes(data, *ranked[0][1:]) else None
