"""Planning with a set of runs selected: the others are in the graph, and left alone unless they are asked for."""

from __future__ import annotations

import html

import pytest

from flows.run import plan
from tasks.project.project import Project
from tasks.reporting.imprint import Gap, Imprint
from tasks.selection.scope import Scope
from tasks.staleness import pipeline
from tests.graphs import stage

GRAPH = {
    name: stage(name, parents=parents)
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
def _graph(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "graph", lambda _: GRAPH)
    monkeypatch.setattr(plan, "stale", lambda *_: {name: ["changed"] for name in GRAPH})
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "report.html").touch()


@pytest.fixture
def make(monkeypatch, tmp_path):
    """`plan.make` with a scope of runs and protocols selected."""

    def made(targets=(), scope=plan.EVERYTHING, **options):
        monkeypatch.setattr(plan, "selected", lambda _: scope)
        return plan.make(Project.given(tmp_path, {}), targets, **options)

    return made


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
def test_a_plan_keeps_to_the_selected_runs_unless_others_are_named(make, targets, runs, expected):
    work = make(targets, scope=Scope(runs))
    assert list(work.names)[: len(expected)] == expected
    assert work.scope == len(work.names)


def test_only_what_is_selected_is_forced(make):
    assert make(scope=Scope(("rotation",)), force=True).forced == set(SMALL)


def test_a_change_in_another_run_is_nothing_to_do(make, monkeypatch):
    monkeypatch.setattr(plan, "stale", lambda *_: {"pretrain@moco": ["changed"]})
    assert make(scope=Scope(("rotation",))).names == ()
    assert make(scope=Scope(("rotation",))).scope == len(SMALL)


def test_a_plan_keeps_to_the_selected_protocols(make, monkeypatch):
    more = {
        "prepare_target@cells": (),
        "transfer_target@rotation-cells": ("prepare_target@cells", "pretrain@rotation"),
    }
    graph = {
        **{name: stage for name, stage in GRAPH.items() if name != "report"},
        **{name: stage(name, "transfer", parents) for name, parents in more.items()},
        "report": stage("report", "report", (*GRAPH["report"].parents, "transfer_target@rotation-cells")),
    }
    monkeypatch.setattr(pipeline, "graph", lambda _: graph)
    monkeypatch.setattr(plan, "stale", lambda *_: {name: ["changed"] for name in graph})
    assert list(make(scope=Scope(("rotation",), ("linear",))).names) == SMALL
    chosen = make(scope=Scope(("rotation",), ("cells",))).names
    assert list(chosen) == ["prepare", "pretrain@rotation", *more, "report"]
    assert make(["cells"], scope=Scope(None, ("linear",))).names[-1] == "transfer_target@rotation-cells"


def test_the_report_runs_again_where_its_page_is_gone(make, monkeypatch, tmp_path):
    """DVC does not know of the page, since it holds times."""
    monkeypatch.setattr(plan, "stale", lambda *_: {})
    assert make().names == ()
    (tmp_path / "results" / "report.html").unlink()
    assert make().names == ("report",)
    assert make(["linear"]).names == ()


def test_the_report_runs_again_where_its_page_is_incomplete(make, monkeypatch, tmp_path):
    """After failures that were undone DVC holds the report of before for up to date."""
    monkeypatch.setattr(plan, "stale", lambda *_: {})
    for gap, names in [(Gap("not applicable", "", ()), ()), (Gap("failed", "", ()), ("report",))]:
        own = html.escape(Imprint(("world",), "today", (gap,)).text)
        (tmp_path / "results" / "report.html").write_text(f'<meta name="covey" content="{own}">\n')
        assert make().names == names
        assert plan.standing(Project.given(tmp_path, {}))["report"].state == ("stale" if names else "fresh")


def test_the_map_and_the_report_wait_for_selected_runs_and_for_those_that_run_beside_them(make, monkeypatch):
    measured = tuple(name for name in GRAPH if name.startswith("transfer"))
    graph = {name: one for name, one in GRAPH.items() if name != "report"}
    graph |= {"atlas": stage("atlas", "atlas", measured), "report": stage("report", "report", (*measured, "atlas"))}
    monkeypatch.setattr(pipeline, "graph", lambda _: graph)
    monkeypatch.setattr(plan, "stale", lambda *_: {name: ["changed"] for name in graph})
    alone, beside = make(scope=Scope(("rotation",))), make(["moco-linear", "report"], scope=Scope(("rotation",)))
    assert alone.names[-2:] == ("atlas", "report")
    assert alone.graph["atlas"].parents == ("transfer@rotation-linear",)
    assert beside.graph["atlas"].parents == ("transfer@rotation-linear", "transfer@moco-linear")
    assert "transfer_clusterfit@moco_cf-linear" not in beside.names
