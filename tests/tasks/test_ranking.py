"""Who is best: the order of the runs that compete, whatever order their records come in."""

from __future__ import annotations

import math

from ssl_models.protocols._common.score import Score
from tasks.reporting.ranking import ranking
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet


def run(name: str, method: str = "rotation", **values: float) -> Run:
    """values: PROTOCOL -> the headline at the layer "pooled"; a lower one at another layer."""
    protocols = {
        protocol: {"scores": [Score(layer, "top1", value - less, value - 0.1, value + 0.1) for layer, less in LAYERS]}
        for protocol, value in values.items()
    }
    return Run(name, None, method, protocols=protocols)


LAYERS = (("res5", 0.05), ("pooled", 0.0))


def test_the_best_layer_of_each_competitor_counts():
    runs = [run("b", linear=0.5), run("ceiling", "supervised", linear=0.9), run("floor", "random", linear=0.7)]
    found = ranking(DataSet("world", [*runs, run("a", linear=0.6), run("c", linear=math.nan), run("d")]))
    assert [(one.name, score.layer, score.value, shown.protocol) for one, score, shown in found] == [
        ("a", "pooled", 0.6, "linear"),
        ("b", "pooled", 0.5, "linear"),
    ]


def test_equal_scores_keep_the_order_of_the_parameters():
    runs = [run("late", linear=0.5), run("early", linear=0.5)]
    assert [one.name for one, *_ in ranking(DataSet("world", runs))] == ["late", "early"]
    assert [one.name for one, *_ in ranking(DataSet("world", runs[::-1]))] == ["early", "late"]


def test_the_protocol_that_leads_decides_and_without_scores_nobody_is_ranked():
    found = ranking(DataSet("world", [run("a", knn=0.9, linear=0.4), run("b", knn=0.1, linear=0.6)]))
    assert [one.name for one, *_ in found] == ["b", "a"]
    assert ranking(DataSet("world", [run("a"), run("b")])) == []
