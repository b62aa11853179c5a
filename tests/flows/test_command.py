"""`covey run` as a whole, in this process: a real project, Prefect, MLflow and dry run; its stages only sleep."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import command
from flows.cli import app
from flows.command import Asked
from flows.run import engine, plan
from tasks.project.project import Project
from tasks.reporting import imprint
from tasks.reporting.imprint import Gap
from tasks.settings.schema import ParameterError
from tasks.staleness import pipeline
from tests.flows import stand_in
from tests.tasks.conftest import make_project
from tests.tasks.records import execute

TRAINING = {"epochs": 3, "learning_rate": 0.05}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared_servers: str):  # noqa: ARG001
    """Makes a project in which everything is stale, and nothing is worked on in earnest."""

    def made(**changes: Any) -> Project:
        root = make_project(tmp_path / "project", **changes)
        monkeypatch.chdir(root)
        return Project(root)

    (tmp_path / "project").mkdir()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(plan, "stale", lambda _, __, names: {name: ["changed"] for name in names})
    monkeypatch.setattr(engine, "reproduce", stand_in.reproduce)
    monkeypatch.setenv("STAND_IN_SECONDS", "0")
    return made


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (
            {"reader": "folder", "labels": "~nobody_here/x.csv"},
            "labels = '~nobody_here/x.csv': it begins with the home",
        ),
        ({"reader": "parquet"}, "parquet files are read by pyarrow; pip install pyarrow"),
    ],
)
def test_data_that_cannot_be_looked_at_are_named_with_what_to_do(tmp_path, monkeypatch, data, words):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").touch()
    (tmp_path / "1.png").touch()
    block = {"name": "own", "source": "a.parquet" if data["reader"] == "parquet" else ".", **data}
    with pytest.raises(ParameterError, match=rf"^datasets\.own: {words}"):
        command.tell_of_data(SimpleNamespace(root=tmp_path, parameters={"data": block, "seed": 0}))


def calls(project: Project) -> list[list[Any]]:
    path = project.root / "calls.txt"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_run_brings_every_stage_up_to_date_and_is_recorded(make, capsys):
    project = make()
    graph = pipeline.graph(project)
    ending = command.run(project, Asked(jobs=2))
    assert ending is not None
    assert ending.code == 0
    assert ending.outcome.ended == dict.fromkeys(graph, "ran")
    begun = [call[1] for call in calls(project) if call[0] == "begin"]
    assert sorted(begun) == sorted(graph)
    assert all(begun.index(parent) < begun.index(name) for name in graph for parent in graph[name].parents)
    out = capsys.readouterr().out
    assert f"{len(graph)} of {len(graph)} stages to run" in out
    assert f"{len(graph)} stages done in " in out
    assert f"Report: {project.root}/results/report.html" in out
    assert execute(project.root, "SELECT name, status FROM runs") == [("everything", "FINISHED")]


def test_prefect_does_not_store_the_plan(make, monkeypatch):
    """It refuses arguments of more than 512 KB, and the graph of the methods that Covey knows has more."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    project = make()
    large = {name: replace(stage, paths=("x" * 600_000,)) for name, stage in pipeline.graph(project).items()}
    monkeypatch.setattr(pipeline, "graph", lambda _: large)
    ending = command.run(project, Asked(("prepare",), jobs=2))
    assert ending is not None
    assert ending.code == 0
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=20)  # other tests run flows as well
    own = next(run for run in runs if run.parameters.get("targets") == ["prepare"])
    assert own.parameters == {"targets": ["prepare"], "jobs": 2, "body": {}}
    assert own.state_name == "Completed"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training": {**TRAINING, "batch_size": 500}},
            "pretrain.rotation: batch_size 500 is over the 192 training samples there are",
        ),
        (
            {"transfer": {"knn": {"layers": "res9"}}},
            "transfer.knn: for the run 'rotation', whose encoder is resnet: layers = 'res9'",
        ),
    ],
)
def test_a_setting_that_a_stage_would_refuse_is_refused_before_any_runs(make, changes, message):
    project = make(**changes)
    with pytest.raises(ParameterError, match=message):
        command.run(project, Asked())
    refused = CliRunner().invoke(app, ["run"])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"covey: {message}")
    assert len(refused.stderr.splitlines()) == 1
    assert not calls(project)
    assert not (project.state / "mlflow.db").exists()


def test_where_a_stage_fails_the_report_is_made_of_what_there_is(make, capsys):
    project = make(orchestration={"transfer": {"retries": 0}})
    (project.root / "faults.json").write_text('{"transfer@rotation-knn": 9}')
    ending = command.run(project, Asked(jobs=2))
    assert ending is not None
    assert ending.code == 1
    assert ending.outcome.skipped == {"atlas": "transfer@rotation-knn", "report": "transfer@rotation-knn"}
    own = imprint.read(project)
    assert own is not None
    failed = Gap("failed", "failed (exit code 1)", ("transfer@rotation-knn",))
    assert own.gaps == (failed, Gap("skipped", "because transfer@rotation-knn failed", ("atlas",)))
    out = capsys.readouterr().out
    assert "There is no score of what there is." in out
    assert f"Report of what there is: {project.root}/results/report.html" in out
    assert not (project.root / "results/scores.csv").exists()
    assert ["begin", "report"] not in [call[:2] for call in calls(project)]


def test_the_report_is_forced_where_its_page_is_gone(make, monkeypatch):
    project = make()
    monkeypatch.setattr(plan, "stale", lambda *_: {})
    ending = command.run(project, Asked())
    assert ending is not None
    assert ending.outcome.ended == {"report": "ran"}
    (begin, _) = calls(project)
    assert begin[:2] == ["begin", "report"]
    assert begin[3] is True  # forced
    (project.root / "results").mkdir(exist_ok=True)
    (project.root / "results/report.html").touch()
    assert command.run(project, Asked()) is None


def test_what_a_kill_after_the_record_has_left_is_deleted_and_what_will_be_taken_over_is_not(make, monkeypatch):
    project = make()
    monkeypatch.setattr(plan, "stale", lambda *_: {})
    planned, left, half = (
        project.work(name, "0" * 16) for name in ("prepare", "pretrain@rotation", "extract@rotation")
    )
    for folder in (planned, left, half):
        folder.mkdir(parents=True)
    for folder in (planned, left):
        (folder / "done").touch()
    project.forget_finished(except_for=["prepare"])
    assert [folder.exists() for folder in (planned, left, half)] == [True, False, True]
    command.run(project, Asked(("pretrain",)))
    assert not planned.exists()
    assert half.exists()
