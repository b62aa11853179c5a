"""A sweep's records and what is made of them: times, means with intervals, the table and the estimate."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import pytest

from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import results
from tasks.sweeps.settings import Measure, Sweep

LINEAR = Measure("rotation", "linear")


def record(clusters: int, seed: int, top1: dict[str, float]) -> dict[str, Any]:
    scores = [
        {"run": "rotation", "protocol": "linear", "layer": layer, "metric": "top1", "value": v, "low": v, "high": v}
        for layer, v in top1.items()
    ]
    return {
        "name": f"try-{clusters}-{seed}",
        "settings": {"clusterfit.a.clusters": clusters},
        "seed": seed,
        "scores": scores,
        "seconds": 1.0,
    }


def test_the_mean_s_interval_is_student_s() -> None:
    """By hand: mean 2, deviation 1, three values; t(0.975, 2) = 4.3027."""
    mean = results.mean([1.0, 2.0, 3.0])
    assert mean.value == 2.0
    assert mean.high - mean.value == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert mean.value - mean.low == pytest.approx(mean.high - mean.value)
    assert math.isnan(results.mean([1.0]).low)


def test_a_measure_picks_the_best_layer_or_the_one_named() -> None:
    """A row that owes nothing to the run is not its best layer, but it can be named."""
    one = record(4, 0, {"mfcc": 0.9, "other sound": 0.8, "res4": 0.6, "res5": 0.5})
    assert results.value(one, LINEAR) == 0.6
    assert results.value(one, Measure("rotation", "linear", "top1", "res5")) == 0.5
    assert results.value(one, Measure("rotation", "linear", "top1", "mfcc")) == 0.9
    with pytest.raises(ParameterError, match="has no top5 of rotation-linear"):
        results.value(one, Measure("rotation", "linear", "top5"))
    with pytest.raises(ParameterError, match="at layer res6"):
        results.value(one, Measure("rotation", "linear", "", "res6"))


def test_averages_are_over_seeds() -> None:
    records = [record(k, s, {"res5": 0.1 * k + 0.01 * s}) for k in (4, 5) for s in (0, 1)]
    found = results.averages(records, LINEAR)
    assert list(found) == ["clusters 4", "clusters 5"]
    assert found["clusters 5"][1].value == pytest.approx(0.505)
    assert found["clusters 5"][1].seeds == 2


def test_metric_files_become_scores() -> None:
    score = {"layer": "res5", "metric": "top1", "value": 0.5, "low": 0.4, "high": 0.6}
    found = results.scores("metrics/world/rotation/linear.json", {"scores": [score], "seconds": 3.0})
    assert found == [{"run": "rotation", "protocol": "linear", **score}]
    trained = results.scores("metrics/world/simclr/training.json", {"loss": 0.5, "device": "cpu", "trained": True})
    assert [(one["protocol"], one["metric"], one["value"]) for one in trained] == [("training", "loss", 0.5)]
    assert results.scores("metrics/world/prepare.json", {"train": 5}) == []
    assert results.scores("metrics/world/a/linear.json", {"not_applicable": "no labels"}) == []


def test_time_is_shared_among_the_stages_that_ran() -> None:
    ran = ["pretrain@rotation", "extract@rotation", "transfer@rotation-linear"]
    costs = {
        "pretrain@rotation": 10.0,
        "transfer@rotation-linear": 4.0,
        "pretrain@simclr": 99.0,  # restored: it took no time here
    }
    spent = results.spent(ran, costs, 20.0)
    assert spent == {"pretrain@rotation": 12.0, "extract@rotation": 2.0, "transfer@rotation-linear": 6.0}


def test_the_table_and_the_figure_hold_every_point(tmp_path: Path) -> None:
    sweep = Sweep("try", {}, {"clusterfit.a.clusters": [4, 5]}, (0, 1), ("rotation-linear",), LINEAR)
    records = [record(k, s, {"res5": 0.1 * k + 0.01 * s}) for k in (4, 5) for s in (0, 1)]
    with results.write_table(Project(tmp_path), sweep, records).open() as file:
        rows = list(csv.DictReader(file))
    found = [(row["clusters"], row["seed"], float(row["value"])) for row in rows[:2]]
    assert found == [("4", "0", 0.4), ("4", "1", 0.1 * 4 + 0.01)]
    figure = results.draw(Project(tmp_path), sweep, records)
    assert figure is not None
    assert "<svg" in figure.read_text()
    assert results.draw(Project(tmp_path), sweep, []) is None
