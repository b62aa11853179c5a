"""Estimates by earlier runs, worked by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.estimates import earlier
from tasks.estimates.earlier import Cost, Earlier, Estimate
from tasks.project.project import Project
from tasks.stage.costs import Facts, Work, work

ROTATION = Work("rotation", "resnet", 1000.0)
PARAMETERS = {
    "data": {"name": "world", "reader": "world"},
    "machine": {"threads": 1, "precision": "auto"},
    "encoder": {"name": "resnet", "width": 16},
    "training": {"epochs": 3, "batch_size": 100},
    "extract": {"size": 512},
    "pretrain": {"rotation": {"method": "rotation"}, "longer": {"method": "rotation", "epochs": 6}},
    "clusterfit": {"rotation_cf": {"source": "rotation"}},
    "transfer": {"linear": {}},
    "targets": {},
}


def test_the_same_stage_s_times_or_its_command_s_where_its_work_is_not_known() -> None:
    known = {"a": {"pretrain@rotation": 10.0}, "b": {"pretrain@rotation": 14.0}, "c": {"pretrain@simclr": 30.0}}
    found = Earlier(earlier.of_sweeps(known))
    assert earlier.total(["pretrain@rotation"], found) == (12.0, 0)
    assert earlier.total(["pretrain@pirl", "extract@pirl"], found) == (14.0, 1)
    further = Earlier([Cost("extract@rotation", 1.0, 4.0)])
    assert earlier.total(["pretrain@pirl", "extract@pirl"], found, further) == (19.0, 0)


def test_a_stage_that_was_restored_took_no_time_and_tells_nothing() -> None:
    assert earlier.of_sweeps({"a": {"pretrain@rotation": 0.0}}) == []


def test_seconds_of_work_grow_with_it_and_the_rest_does_not() -> None:
    """By hand: 2 + 10 * 4000 / 1000 = 42."""
    found = Earlier([Cost("pretrain@rotation", 2.0, 10.0, ROTATION, 5e8, 1e6)])
    longer = Work("rotation", "resnet", 4000.0)
    assert found.estimate("pretrain@rotation", longer) == Estimate(42.0, 5e8, 1e6)  # no larger encoder by more epochs
    assert found.estimate("pretrain@rotation", Work("rotation", "resnet", None)) == Estimate(12.0, 5e8, 1e6)


def test_features_grow_with_the_samples() -> None:
    found = Earlier([Cost("extract@rotation", 0.0, 1.0, Work("", "resnet", 100.0), None, 4e6)])
    assert found.estimate("extract@rotation", Work("", "resnet", 250.0)) == Estimate(2.5, None, 1e7)


def test_where_a_stage_never_ran_others_with_its_method_and_encoder_tell() -> None:
    found = Earlier([Cost("pretrain@rotation", 2.0, 10.0, ROTATION), Cost("pretrain@longer", 2.0, 20.0, ROTATION)])
    assert found.estimate("pretrain@new", ROTATION) == Estimate(17.0)
    assert found.estimate("pretrain@new", Work("simclr", "resnet", 1000.0)) is None
    assert found.estimate("pretrain@new", Work("rotation", "vit", 1000.0)) is None
    assert found.estimate("extract@new", Work("rotation", "resnet", 1000.0)) is None


def test_a_stage_s_own_run_with_another_encoder_tells_nothing() -> None:
    found = Earlier([Cost("pretrain@rotation", 2.0, 10.0, ROTATION)])
    assert found.estimate("pretrain@rotation", Work("rotation", "vit", 1000.0)) is None


def test_a_record_of_before_there_were_descriptions_serves_its_own_stage(tmp_path: Path) -> None:
    """50 samples a second for 20 s of 24 are 1,000 samples; 2,000 take 4 + 40 s."""
    folder = Project(tmp_path).costs("x", "world").parent
    folder.mkdir(parents=True)
    content = {"key": "0", "seconds": 24.0, "training_seconds": 20.0, "samples_per_second": 50.0, "peak_memory": 7}
    (folder / "pretrain@rotation.json").write_text(json.dumps(content))
    (folder / "torn.json").write_text('{"seconds": 1')
    (folder / "odd.json").write_text('{"seconds": "fast"}')
    (folder / "none.json").write_text("{}")
    found = Earlier(earlier.of_project(Project(tmp_path)))
    assert found.estimate("pretrain@rotation", Work("rotation", "resnet", 2000.0)) == Estimate(44.0, 7.0)
    assert found.estimate("pretrain@simclr", Work("rotation", "resnet", 2000.0)) is None


@pytest.mark.parametrize(
    ("stage", "what", "amount"),
    [
        ("pretrain@rotation", "rotation", 3 * 500),  # 550 samples are five whole batches of 100
        ("pretrain@longer", "rotation", 6 * 500),
        ("clusterfit@rotation_cf", "supervised", 3 * 500),
        ("extract@rotation", "", 600),
        ("transfer_clusterfit@rotation_cf-linear", "linear", 600),
        ("prepare", "world", 600),
    ],
)
def test_the_amount_of_work(stage: str, what: str, amount: float) -> None:
    found = work(PARAMETERS, stage, Facts(550, 50, {"images": [3, 32, 32]}))
    assert (found.what, found.amount) == (what, amount)


def test_what_makes_two_stages_unlike() -> None:
    facts = Facts(550, 50, {"images": [3, 32, 32]})
    base = work(PARAMETERS, "extract@rotation", facts).like
    assert work(PARAMETERS, "extract_clusterfit@rotation_cf", facts).like == base
    for changed in ({"encoder": {"name": "vit"}}, {"machine": {"threads": 2}}, {"extract": {"size": 64}}):
        assert work(PARAMETERS | changed, "extract@rotation", facts).like != base
    assert work(PARAMETERS, "extract@rotation", Facts(550, 50, {"images": [3, 64, 64]})).like != base
    assert work(PARAMETERS, "extract@rotation", Facts(9, 9, {"images": [3, 32, 32]})).like == base
