"""Who is best: the order of the runs that compete, whatever order their records come in."""

from __future__ import annotations

import math

from ssl_models.protocols._common.score import Score
from tasks.reporting.ranking import ranking, winner
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


def estimated(name: str, value: float, labelled: float | None = None) -> Run:
    """A run with a score of `label_free`, and perhaps one of k-NN."""
    found = run(name, **({} if labelled is None else {"knn": labelled}))
    score = Score("pooled", "lidar", value, value - 0.1, value + 0.1)
    return Run(name, None, "rotation", protocols={"label_free": {"scores": [score]}, **found.protocols})


def test_scores_without_labels_rank_only_where_no_other_protocol_does():
    (first, _, shown), *_ = ranking(DataSet("world", [estimated("a", 0.9, 0.4), estimated("b", 0.1, 0.6)]))
    assert (first.name, shown.protocol) == ("b", "knn")  # though label_free stands before it
    (first, _, shown), *_ = ranking(DataSet("world", [estimated("a", 0.9), estimated("b", 0.1)]))
    assert (first.name, shown.protocol) == ("a", "label_free")
    control = run("floor", "random", knn=0.5)
    assert ranking(DataSet("world", [estimated("a", 0.9), control]))[0][2].protocol == "label_free"


def test_a_target_of_that_protocol_ranks_last_too():
    def target(value):
        return Score("pooled", "lidar", value, value - 0.1, value + 0.1)

    runs = [Run(name, None, "rotation") for name in ("a", "b")]
    for one, value in zip(runs, (0.9, 0.1), strict=True):
        one.protocols["elsewhere"] = {"protocol": "label_free", "scores": [target(value)]}
        one.protocols["knn"] = run("x", knn=1 - value).protocols["knn"]
    assert ranking(DataSet("world", runs))[0][0].name == "b"


def test_a_run_that_does_not_pass_the_untrained_floor_is_no_winner():
    def won(*runs):
        found = winner(DataSet("world", list(runs)))
        return found and found.name

    best = run("a", linear=0.6)  # all intervals: 0.1 to either side, so of a difference 0.14
    assert won(best, run("b", linear=0.5)) == "a"
    assert won(best, run("floor", "random", linear=0.4)) == "a"
    assert won(best, run("floor", "random", linear=0.5)) is None  # above, within the interval
    assert won(best, run("floor", "random", linear=0.7)) is None
    assert won(best, run("floor", "random", linear=0.9)) is None
    assert won(best, run("low", "random", linear=0.1), run("floor", "random", linear=0.5)) is None  # the best floor
    assert won(best, run("floor", "random", knn=0.9)) == "a"  # measured by another protocol
    assert won(run("floor", "random", linear=0.4)) is None
    assert won() is None


def test_where_an_interval_is_not_known_the_difference_itself_counts():
    unknown = Run("a", None, "rotation", protocols={"linear": {"scores": [Score("", "top1", 0.6, math.nan, math.nan)]}})
    for floor, expected in ((0.5, "a"), (0.7, None)):
        found = winner(DataSet("world", [unknown, run("floor", "random", linear=floor)]))
        assert (found and found.name) == expected
