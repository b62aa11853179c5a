"""What a stage's work is said to be, of every stage that dvc.yaml has, with each kind of data."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from tasks.project.project import Project
from tasks.settings import data_kinds, params
from tasks.settings.stage_kinds import KINDS, kind_of
from tasks.stage.costs import Facts, work
from tasks.staleness import pipeline

ROOT = Path(__file__).parents[2]
MADE = Facts(8192, 2048, {"images": [3, 32, 32]})


@functools.cache
def project(data: str) -> Project:
    """This project with another data set of params.yaml selected, all its runs and protocols."""
    parameters = params.read(ROOT)
    block = parameters["datasets"][data]
    kind = data_kinds.with_kind(parameters, data_kinds.of_reader(block["reader"]), "params.yaml")
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
