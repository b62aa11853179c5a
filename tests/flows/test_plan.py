"""Planning with a set of runs selected: the others are in the graph, and left alone unless they are asked for."""

from __future__ import annotations

import pytest

from flows.run import plan
from tasks.project.project import Project
from tasks.selection.scope import Scope
from tasks.staleness import graph as pipeline
from tasks.staleness.graph import Stage

GRAPH = {
    name: Stage(name, "train", parents, (), ())
    for name, parents in [
        ("prepare", ()),
        ("pretrain@rotation", ("prepare",)),
        ("pretrain@moco", ("prepare",)),
        ("clusterfit@moco_cf", ("pretrain@moco",)),
        ("transfer@rotation-linear", ("pretrain@rotation",)),
        ("transfer@moco-linear", ("pretrain@moco",)),
        ("transfer_clusterfit@moco_cf-linear", ("clusterfit@moco_cf",)),
        ("report", ("transfer@rotation-linear", "transfer@moco-linear", "transfer_clusterfit@moco_cf-linear")),
    ]
}
SMALL = ["prepare", "pretrain@rotation", "transfer@rotation-linear", "report"]


@pytest.fixture(autouse=True)
def _graph(monkeypatch):
    monkeypatch.setattr(pipeline, "graph", lambda _: GRAPH)
    monkeypatch.setattr(pipeline, "stale", lambda *_: {name: ["changed"] for name in GRAPH})


@pytest.mark.parametrize(
    ("targets", "runs", "expected"),
    [
        ([], ["rotation"], SMALL),
        (["report"], ["rotation"], SMALL),
        ([], None, list(GRAPH)),
        (["linear"], ["rotation"], SMALL[:-1]),
        (["moco"], ["rotation"], ["prepare", "pretrain@moco", "transfer@moco-linear"]),
        (["moco_cf-linear"], ["rotation"], ["prepare", "pretrain@moco", "clusterfit@moco_cf"]),
    ],
)
def test_a_plan_keeps_to_the_selected_runs_unless_others_are_named(tmp_path, targets, runs, expected):
    work = plan.make(Project(tmp_path), targets, scope=Scope(runs))
    assert list(work.names)[: len(expected)] == expected
    assert work.scope == len(work.names)


def test_only_what_is_selected_is_forced(tmp_path):
    assert plan.make(Project(tmp_path), scope=Scope(("rotation",)), force=True).forced == set(SMALL)


def test_a_change_in_another_run_is_nothing_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(pipeline, "stale", lambda *_: {"pretrain@moco": ["changed"]})
    assert plan.make(Project(tmp_path), scope=Scope(("rotation",))).names == ()
    assert plan.make(Project(tmp_path), scope=Scope(("rotation",))).scope == len(SMALL)


def test_a_plan_keeps_to_the_selected_protocols(tmp_path, monkeypatch):
    more = {
        "prepare_target@cells": (),
        "transfer_target@rotation-cells": ("prepare_target@cells", "pretrain@rotation"),
    }
    graph = {
        **{name: stage for name, stage in GRAPH.items() if name != "report"},
        **{name: Stage(name, "transfer", parents, (), ()) for name, parents in more.items()},
        "report": Stage("report", "report", (*GRAPH["report"].parents, "transfer_target@rotation-cells"), (), ()),
    }
    monkeypatch.setattr(pipeline, "graph", lambda _: graph)
    monkeypatch.setattr(pipeline, "stale", lambda *_: {name: ["changed"] for name in graph})
    assert list(plan.make(Project(tmp_path), scope=Scope(("rotation",), ("linear",))).names) == SMALL
    chosen = plan.make(Project(tmp_path), scope=Scope(("rotation",), ("cells",))).names
    assert list(chosen) == ["prepare", "pretrain@rotation", *more, "report"]
    assert (
        plan.make(Project(tmp_path), ["cells"], scope=Scope(None, ("linear",))).names[-1]
        == "transfer_target@rotation-cells"
    )
