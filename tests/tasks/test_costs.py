"""What a stage's work is said to be, of every stage that dvc.yaml has, with each kind of data."""

from __future__ import annotations

import functools
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tasks.process import files
from tasks.project.project import Project
from tasks.settings import data_kinds, params
from tasks.settings.stage_kinds import KINDS, kind_of
from tasks.stage import apart
from tasks.stage.costs import Facts, facts, record, target_of, work
from tasks.staleness import pipeline
from tests import graphs

ROOT = Path(__file__).parents[2]
MADE = Facts(8192, 2048, {"images": [3, 32, 32]})


@functools.cache
def project(data: str) -> Project:
    """This project with another data set of params.yaml selected, all its runs and protocols."""
    parameters = params.read(ROOT)
    block = parameters["datasets"][data]
    kind = data_kinds.with_kind(parameters, data_kinds.of_block(block), "params.yaml")
    return Project.given(ROOT, {**kind, "data": block})


def stages(data: str) -> list[str]:
    return [name for name in pipeline.under(ROOT, project(data).parameters) if name != "code"]


@pytest.mark.parametrize("data", ["world", "speech", "text"])
def test_every_stage_has_an_amount_of_work(data):
    every = stages(data)
    assert {kind_of(name) for name in every} == set(KINDS)
    for name in every:
        found = work(project(data).parameters, name, MADE)
        assert found.like, name
        assert found.amount is not None or name.startswith(("pretrain@", "clusterfit@")), name


@pytest.mark.parametrize(("most", "amount"), [(20_000, 10_240), (500, 500)])
def test_a_map_has_no_more_samples_than_it_is_given(most, amount):
    """8,192 + 2,048 samples."""
    given: dict[str, Any] = {"maps": {"runs": "winner", "samples": most, "neighbours": 10, "clusters": 24}}
    found = work(given, "atlas", MADE)
    assert found.amount == amount
    assert work(given, "atlas", Facts()).amount is None
    fewer = {"maps": {**given["maps"], "samples": 100}}
    assert work(fewer, "atlas", MADE).like == found.like
    others = {"maps": {**given["maps"], "runs": "all"}}
    assert work(others, "atlas", MADE).like != found.like


@pytest.mark.parametrize(
    ("stage", "target"),
    [
        ("prepare_target@scenes_voc_map", "scenes_voc_map"),
        ("transfer_target@rotation-scenes_voc_map", "scenes_voc_map"),
        ("transfer_target_clusterfit@rotation_cf-cells_detection", "cells_detection"),
        ("transfer@rotation-linear", ""),
        ("prepare", ""),
        ("report", ""),
    ],
)
def test_the_data_that_a_stage_works_on(stage, target):
    assert target_of(stage) == target


def test_a_target_s_data_are_its_own(tmp_path):
    """800 samples of its own, of 8,192 + 2,048 of the selected data set; 500 training samples once it is made anew."""
    parameters = {
        "data": {"name": "world", "reader": "world"},
        "targets": {"objects": {"protocol": "keypoints", "data": {"reader": "world_scenes", "train": 500}}},
    }
    own = Project.given(tmp_path, parameters)
    files.write_json(own.places.preparation, {"train": 8192, "test": 2048, "shapes": {"images": [3, 32, 32]}})
    assert facts(own, target="objects") == Facts()
    described = {"train": 600, "test": 200, "shapes": {"images": [3, 64, 64]}}
    files.write_json(own.target("objects") / "dataset.json", described)
    assert facts(own).samples == 10_240
    found = facts(own, target="objects")
    assert (found.samples, found.shapes) == (800, described["shapes"])
    assert facts(own, target="objects", fresh=True).samples == 700
    stage = graphs.stage("prepare_target@objects", "prepare")
    assert record(own, stage, "key", {"seconds": 1.0})["amount"] == 800


def test_a_stage_does_not_fail_at_the_record_of_its_cost(tmp_path, capsys):
    """Its work is done by then."""
    own = Project.given(tmp_path, {"data": {"name": "world"}, "pretrain": {}, "clusterfit": {}})
    found = record(own, graphs.stage("pretrain@gone"), "key", {"seconds": 1.0})
    assert found["seconds"] == 1.0
    assert "amount" not in found
    assert "warning: later runs cannot be estimated by this one (StopIteration" in capsys.readouterr().out


def here(own: Project, function: str, *arguments: Any) -> Any:
    """A call that is carried out in this process."""
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)(own, *arguments)


@pytest.mark.parametrize(
    ("settings", "shapes"),
    [
        ({}, {"frames": [10, 3, 64, 64], "tracks": [1, 10, 4], "source": [1]}),
        ({"size": 32, "frames": 6}, {"frames": [6, 3, 32, 32], "tracks": [1, 6, 4], "source": [1]}),
        ({"tracks": 0}, {"frames": [10, 3, 64, 64], "source": [1]}),
        ({"reader": "video_sound_folder", "frames": 5},
         {"frames": [5, 3, 64, 64], "sound": [4000], "length": [1], "source": [1]}),
        ({"frames": 0}, None),
    ],
)  # fmt: skip
def test_clips_to_be_have_the_shapes_that_their_reader_tells(tmp_path, monkeypatch, settings, shapes):
    """And not those of the clips that were prepared before, or of pictures; settings that are refused tell none."""
    monkeypatch.setattr(apart, "call", lambda *asked: refused(here, *asked))
    block = {"name": "clips", "reader": "video_folder", "source": "clips", **settings}
    own = Project.given(tmp_path, {"data": block, "targets": {"mine": {"data": block}}, "seed": 0})
    before = {"train": 90, "test": 10, "shapes": {"frames": [10, 3, 64, 64], "tracks": [1, 10, 4], "source": [1]}}
    assert facts(own, fresh=True).shapes == shapes
    assert facts(own, target="mine", fresh=True).shapes == shapes
    files.write_json(own.places.preparation, before)
    assert facts(own).shapes == before["shapes"]
    assert facts(own, fresh=True) == Facts(90, 10, shapes)


def refused(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except ValueError as error:
        raise apart.CallFailed(str(error)) from None


@pytest.mark.parametrize("settings", [{"frames": 6}, {"fps": 5.0}, {"hop": 0.1}, {"tracks": 0}, {"size": 32}])
def test_a_preparation_of_other_clips_is_not_one_like_it(settings):
    block = {"name": "clips", "reader": "video_folder", "source": "clips"}
    found = work({"data": block}, "prepare", Facts(90, 10))
    assert work({"data": block | settings}, "prepare", Facts(90, 10)).like != found.like
    assert work({"data": block | {"source": "others", "name": "others"}}, "prepare", Facts(90, 10)) == found
