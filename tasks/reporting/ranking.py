"""Which representation is best: the runs that compete, ordered by the headline metric of the protocol that leads."""

from __future__ import annotations

from ssl_models.protocols._common.score import Score
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet, Measure, best, headline_measures


def ranking(data: DataSet) -> list[tuple[Run, Score, Measure]]:
    """Every run that competes and has a score, each at its best layer, best first; equal ones as the parameters order.

    The measure is the same for all: the headline of the first protocol that has scores, that which leads before others.
    """
    shown = next(iter(headline_measures(data)), None)
    if shown is None:
        return []
    scored = [(run, best(run, shown)) for run in data.runs if run.ranked]
    found = [(run, score, shown) for run, score in scored if score]
    return sorted(found, key=lambda entry: -entry[1].value)
