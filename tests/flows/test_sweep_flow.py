"""The flow of sweeps, with experiments that cost nothing: one that fails alone, a stop, and what is not done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.sweep import execution
from tasks.project.project import Project
from tasks.settings.retries import Policy
from tasks.staleness.dvc_errors import StageFailed
from tasks.sweeps import experiments, points
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.settings import Sweep
from tasks.tracking import server as tracking_server
from tests.tasks.conftest import make_project

CONTENT: dict[str, Any] = {
    "grid": {"clusterfit.rotation_cf.clusters": [4, 6, 8]},
    "seeds": [0, 1],
    "targets": ["rotation_cf-knn"],
    "metric": {"run": "rotation_cf", "protocol": "knn"},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_project(tmp_path)
    (root / "sweeps").mkdir()
    (root / "sweeps/try.yaml").write_text(yaml.safe_dump(CONTENT))
    ran: list[str] = []

    def run(_project: Project, _place: Path, point: points.Point, environment: dict[str, str]) -> float:
        assert environment["COVEY_PARENT_RUN"]
        ran.append(str(point))
        (root / "ran.json").write_text(json.dumps(ran))
        if str(point) in json.loads((root / "faults.json").read_text() if (root / "faults.json").exists() else "[]"):
            raise StageFailed(f"point '{point}'", "failed (exit code 1)", "last words", root / "x.log")
        return 1.0

    def metrics(_root: Path, revision: str) -> dict[str, Any]:
        clusters, seed = (int(word) for word in revision.split("-"))
        value = 0.1 * clusters + 0.01 * seed
        score = {"layer": "", "metric": "top1", "value": value, "low": value, "high": value}
        return {
            "metrics/world/rotation_cf/knn.json": {
                "scores": [score],
            }
        }

    def revision(_root: Path, _place: Path, point: points.Point) -> str:
        return f"{point.settings['clusterfit.rotation_cf.clusters']}-{point.seed}"

    monkeypatch.setattr(experiments, "run", run)
    monkeypatch.setattr(experiments, "metrics", metrics)
    monkeypatch.setattr(experiments, "bring_home", revision)
    monkeypatch.setattr(experiments, "baseline", lambda *_: "0")
    monkeypatch.setattr(experiments, "copy", lambda *_: root)
    monkeypatch.setattr("flows.sweep.flow.POLICY", Policy(retries=1, retry_delay=0.0))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


def carry_out(project: Path, sweep: Sweep, every: list[points.Point]) -> Any:
    return execution.run_points(Project(project), [sweep], execution.todo(Project(project), every), 2)


@pytest.mark.usefixtures("shared_servers")
def test_a_point_that_fails_fails_alone_and_what_is_done_stays_done(project: Path) -> None:
    (project / "faults.json").write_text('["clusters 6, seed 1"]')
    sweep = sweeps.load(Project(project), "try")
    every = points.points(Project(project), sweep)
    ending = carry_out(project, sweep, every)
    assert len(ending.done) == 5
    (failure,) = ending.failed
    assert failure.name == "try: clusters 6, seed 1"
    assert "exit code 1" in failure.reason
    ran = json.loads((project / "ran.json").read_text())
    assert ran.count("clusters 6, seed 1") == 2  # tried again
    assert len(ran) == 7

    (project / "faults.json").unlink()
    new = execution.todo(Project(project), every)
    assert [str(point) for point in new] == ["clusters 6, seed 1"]
    assert not carry_out(project, sweep, every).failed
    assert execution.todo(Project(project), every) == []
    assert len(execution.finish(Project(project), sweep, every)) == 6
    lines = (project / "results/sweeps/try.csv").read_text().splitlines()
    assert lines[0].startswith("point,seed,clusters,run,protocol")
    assert len(lines) == 7

    (project / "sweeps/try.yaml").write_text(
        yaml.safe_dump(CONTENT | {"grid": {"clusterfit.rotation_cf.clusters": [6, 9]}})
    )
    changed = points.points(Project(project), sweeps.load(Project(project), "try"))
    assert [str(point) for point in execution.todo(Project(project), changed)] == [
        "clusters 9, seed 0",
        "clusters 9, seed 1",
    ]

    client = tracking_server.connect(Project(project), tracking_server.choose_uri(Project(project)))
    runs = client.search_runs([client.get_experiment_by_name("covey").experiment_id])
    parents = [run for run in runs if run.info.run_name == "sweep try"]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parents[-1].info.run_id]
    assert {run.info.status for run in parents} == {"FAILED", "FINISHED"}
    assert sorted(run.info.status for run in children) == ["FAILED"] * 2 + ["FINISHED"] * 5
    done = next(run for run in children if run.data.params.get("clusterfit.rotation_cf.clusters") == "8")
    assert done.data.metrics["rotation_cf.knn.top1.all"] == pytest.approx(0.8 + 0.01 * int(done.data.params["seed"]))


def test_a_plan_names_points_stages_and_time(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = sweeps.load(Project(project), "try")
    every = points.points(Project(project), sweep)
    execution.show_plan(Project(project), every)
    text = capsys.readouterr().out
    assert "clusters 8, seed 1" in text
    assert text.count("pretrain@rotation") == 2  # once a seed: other points share it
    assert "that have never run" in text
    assert not (project / "ran.json").exists()
