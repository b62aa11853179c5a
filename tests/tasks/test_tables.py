"""The tables: how numbers are compared and shown."""

from __future__ import annotations

import pytest

from ssl_models.protocols._common.intervals import wilson
from ssl_models.protocols._common.score import Score
from tasks.reporting import tables
from tasks.reporting.tables import DataSet, Run


def test_the_difference_is_newcombes() -> None:
    """Newcombe 1998, table II, contrast (a), method 10: 56/70 − 48/80 = 0.2, 95 % from 0.0524 to 0.3339."""
    first, second = (Score("", "top1", hits / of, *wilson(hits, of)) for hits, of in ((48, 80), (56, 70)))
    assert tables.difference(first, second) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_a_measure_shows_shares_in_per_cent_and_others_as_they_are() -> None:
    angle = Run("a", None, "rotation", protocols={"surface_normals": {"scores": [Score("", "median", 21.5, 20, 23)]}})
    data = DataSet("world", [angle])
    assert tables.headline_measures(data) == []
    assert tables.measure(data, "surface_normals", "median").number(21.5) == "21.500"
    in_cent = DataSet(
        "world", [Run("a", None, "rotation", protocols={"knn": {"scores": [Score("", "top1", 51.2, 50, 52)]}})]
    )
    assert tables.measure(in_cent, "knn", "top1").number(51.2) == "51.2"
    assert tables.measure(in_cent, "knn", "top1").number(-0.5, sign=True) == "−0.5"
