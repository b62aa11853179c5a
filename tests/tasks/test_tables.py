"""The tables: how numbers are compared and shown."""

from __future__ import annotations

import pytest

from ssl_models.protocols._common.intervals import wilson
from ssl_models.protocols._common.score import Score
from tasks.reporting import headline, tables
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet


def test_the_difference_is_newcombes() -> None:
    """Newcombe 1998, table II, contrast (a), method 10: 56/70 − 48/80 = 0.2, 95 % from 0.0524 to 0.3339."""
    first, second = (Score("", "top1", hits / of, *wilson(hits, of)) for hits, of in ((48, 80), (56, 70)))
    assert tables.difference(first, second) == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_a_measure_shows_shares_in_per_cent_and_others_as_they_are() -> None:
    angle = Run("a", None, "rotation", protocols={"surface_normals": {"scores": [Score("", "median", 21.5, 20, 23)]}})
    data = DataSet("world", [angle])
    assert tables.headline_measures(data) == []
    assert tables.measure(data, "surface_normals", "median").number(21.5) == "21.5"
    assert tables.measure(data, "surface_normals", "median").number(2.15) == "2.150"
    assert tables.measure(data, "surface_normals", "within_11").share
    in_cent = DataSet(
        "world", [Run("a", None, "rotation", protocols={"knn": {"scores": [Score("", "top1", 51.2, 50, 52)]}})]
    )
    assert tables.measure(in_cent, "knn", "top1").number(51.2) == "51.2"
    assert tables.measure(in_cent, "knn", "top1").number(-0.5, sign=True) == "−0.5"


def with_scores(name: str, metric: str, **record: str) -> DataSet:
    scores = [Score("", metric, 0.5, 0.4, 0.6)]
    return DataSet("world", [Run("a", None, "rotation", protocols={name: {"scores": scores, **record}})])


def test_a_target_is_shown_as_its_protocol_states() -> None:
    told = with_scores("scenes", "mean_angle", protocol="surface_normals")
    assert tables.stated(told, "scenes").name == "surface_normals"
    assert tables.stated(with_scores("scenes", "pck_at_20"), "scenes").name == "keypoints"  # as from a scores.csv
    unknown = tables.stated(with_scores("scenes_new", "loss"), "scenes_new")
    assert (unknown.title, unknown.headline) == ("scenes new", None)
    assert tables.label("scenes_new") == "scenes new"


def test_the_leading_protocol_is_the_first_column() -> None:
    scores = {"scores": [Score("", "top1", 0.5, 0.4, 0.6)]}
    data = DataSet("world", [Run("a", None, "rotation", protocols={"knn": scores, "x": scores, "linear": scores})])
    assert [measure.protocol for measure in tables.headline_measures(data)] == ["linear", "knn", "x"]


def test_a_row_that_owes_nothing_to_the_run_is_not_its_best_or_last_layer() -> None:
    """Cepstral coefficients stand in the table of every run, and may beat it."""
    scores = [
        Score(layer, "top1_word", value, 0, 1) for layer, value in (("mfcc", 0.9), ("conv1", 0.5), ("context", 0.4))
    ]
    run = Run("a", None, "cpc_speech", protocols={"probes": {"scores": scores}})
    (measure,) = tables.headline_measures(DataSet("speech", [run]))
    assert [found.layer for found in (tables.best(run, measure), tables.last(run, measure)) if found] == [
        "conv1",
        "context",
    ]


def test_a_row_beside_one_layer_makes_no_layers_of_it() -> None:
    """A map of heat and what it is to be beaten by: no layer is named, none is drawn against, the best is the map."""

    def run(name: str, *layers: str) -> Run:
        scores = [Score(layer, "inside", 0.9 - 0.1 * place, 0, 1) for place, layer in enumerate(layers)]
        return Run(name, None, "audio_visual", protocols={"localisation": {"scores": scores}})

    one = DataSet("sounds", [run("a", "centre", "other sound", "heat")])
    (measure,) = tables.headline_measures(one)
    assert not tables.several_layers(one, measure)
    assert tables.layers(one, measure) == ["centre", "other sound", "heat"]
    assert tables.best(one.runs[0], measure) == tables.last(one.runs[0], measure) == Score("heat", "inside", 0.7, 0, 1)
    assert headline.cell(one.runs[0], measure).layer == ""
    two = DataSet("sounds", [run("a", "centre", "other sound", "frames", "heat")])
    assert tables.several_layers(two, measure)
    assert headline.cell(two.runs[0], measure).layer == "frames"
