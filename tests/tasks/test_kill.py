"""SIGKILL at named points, to the stage, to dvc and to the flow: nothing is lost, doubled or left behind.

The reference is a project that was never disturbed. Every case starts from its prepared data, is killed in its
pretraining, brought up to date again, and must then equal the reference byte for byte.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tasks.process import kill_points
from tasks.project.project import Project
from tasks.staleness import pipeline
from tests.flows.waiting import PATIENCE
from tests.tasks.conftest import edit, make_project, run_in_fork, run_stage

pytestmark = pytest.mark.long

STAGE = "pretrain@rotation"
WAYS = {"command": run_stage, "fork": run_in_fork}
CASES = [(way, point, victim) for way in WAYS for point in kill_points.POINTS for victim in ("stage", "dvc")]
QUICK = {
    ("command", "after-checkpoint", "stage"),
    ("fork", "after-checkpoint", "stage"),
    ("fork", "before-record", "dvc"),
    ("fork", "after-record", "dvc"),
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory, fork):
    """A project whose first two stages ran undisturbed; its bytes are what the others must come to."""
    project = make_project(tmp_path_factory.mktemp("reference"))
    for stage in ("prepare", STAGE):
        done = run_stage(project, stage, fork)
        assert done.returncode == 0, done.stdout + done.stderr
    return project


def weights(project: Path) -> bytes:
    return (project / "runs/world/rotation/encoder/encoder.safetensors").read_bytes()


def copy_prepared(reference: Path, folder: Path) -> Path:
    """The reference as it was after `prepare`, in a folder of its own."""
    project = make_project(folder)
    shutil.copytree(reference / "data", project / "data")
    (project / "metrics/world").mkdir(parents=True)
    shutil.copytree(reference / "metrics/world/pictures", project / "metrics/world/pictures")
    shutil.copy(reference / "metrics/world/prepare.json", project / "metrics/world/prepare.json")
    shutil.copy(reference / "dvc.lock", project / "dvc.lock")
    lock = (project / "dvc.lock").read_text()
    (project / "dvc.lock").write_text(lock[: lock.index(f"  {STAGE}:")])
    shutil.copytree(reference / ".dvc" / "cache", project / ".dvc" / "cache", ignore=shutil.ignore_patterns("runs"))
    return project


def processes_in(project: Path) -> list[psutil.Process]:
    """Every process that works in the project's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()) == project and process.pid != os.getpid():
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def all_are_gone(project: Path, seconds: float = PATIENCE) -> bool:
    deadline = time.monotonic() + seconds
    while processes_in(project) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not processes_in(project)


def mlflow_runs(project: Path) -> list:
    """All of the project's MLflow runs."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/.covey/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments))


def assert_one_finished_run(project: Path, stage: str) -> None:
    """One finished run with each step of each metric once, and none that claims to be running."""
    from mlflow import MlflowClient

    runs = mlflow_runs(project)
    assert not [run.info.run_id for run in runs if run.info.status == "RUNNING"]
    finished = [run for run in runs if run.data.tags.get("covey.stage") == stage and run.info.status == "FINISHED"]
    assert len(finished) == 1
    history = MlflowClient(f"sqlite:///{project}/.covey/mlflow.db").get_metric_history(finished[0].info.run_id, "loss")
    steps = [metric.step for metric in history if metric.step > 0]
    assert sorted(steps) == [3, 6, 9]


@pytest.mark.parametrize(
    ("way", "point", "victim"),
    [case if case in QUICK else pytest.param(*case, marks=pytest.mark.exhaustive) for case in CASES],
)
def test_a_kill_leaves_no_trace_in_the_end(way, point, victim, reference, fork, tmp_path):
    """DVC as its own command, and DVC in a fork that writes one entry of dvc.lock."""
    project, run = copy_prepared(reference, tmp_path / "project"), WAYS[way]
    killed = run(project, STAGE, fork, COVEY_KILL_AT=f"{point}:{victim}")
    assert killed.returncode != 0, f"nothing was killed: {killed.stdout}"
    assert all_are_gone(project), processes_in(project)
    again = run(project, STAGE, fork)
    assert again.returncode == 0, again.stdout + again.stderr
    assert weights(project) == weights(reference)
    assert_one_finished_run(project, STAGE)
    assert yaml.safe_load((project / "dvc.lock").read_text()) == yaml.safe_load((reference / "dvc.lock").read_text())
    third = run_stage(project, STAGE, fork)
    assert "didn't change, skipping" in third.stdout


FLOW_CASES = [
    pytest.param(point, marks=[] if point == "after-metric" else [pytest.mark.exhaustive])
    for point in kill_points.POINTS
]


@pytest.mark.parametrize("point", FLOW_CASES)
def test_a_killed_flow_goes_on_where_it_was(point, reference, tmp_path):
    project = copy_prepared(reference, tmp_path / "project")
    killed = covey(project, COVEY_KILL_AT=f"{point}:flow")
    assert killed.returncode == -9, killed.stdout + killed.stderr
    assert all_are_gone(project), processes_in(project)
    again = covey(project)
    assert again.returncode == 0, again.stdout + again.stderr
    assert weights(project) == weights(reference)
    assert_one_finished_run(project, STAGE)
    finished = [run for run in mlflow_runs(project) if run.info.status == "FINISHED"]
    stages = [run.data.tags["covey.stage"] for run in finished if "covey.stage" in run.data.tags]
    assert sorted(stages) == sorted(set(pipeline.graph(Project(project))) - {"code", "prepare"})
    third = covey(project)
    assert "Nothing is stale" in third.stdout
    assert all_are_gone(project)
    if point == "after-metric":
        only_what_changed_is_stale(project)


def only_what_changed_is_stale(project: Path) -> None:
    """In a project that is up to date, an edit makes its own stages stale and no others; undone, nothing."""
    chain = ["clusterfit@rotation_cf", "extract_clusterfit@rotation_cf", "transfer_clusterfit@rotation_cf-knn"]
    parameters = (project / "params.yaml").read_text()
    edit(project, clusterfit={"rotation_cf": {"source": "rotation", "clusters": 6}})
    assert planned(project) == ["atlas", "cluster@rotation_cf", *chain, "report"]
    (project / "params.yaml").write_text(parameters)
    edit(project, transfer={"knn": {"neighbours": 21}})
    assert planned(project) == ["atlas", "transfer@rotation-knn", chain[-1], "report"]
    (project / "params.yaml").write_text(parameters)
    code = project / "ssl_models/methods/supervised.py"
    text = code.read_text()
    code.write_text(text + "# more\n")
    assert planned(project) == []
    code.write_text(text + "more = 1\n")
    assert planned(project) == ["atlas", *chain, "report"]
    code.write_text(text)
    assert planned(project) == []


def planned(project: Path) -> list[str]:
    """What `covey run` would do, the report last and the rest by name; in a process of its own, as there."""
    words = "import json; from flows.run.plan import make; from tasks.project.project import Project; "
    words += "print(json.dumps(make(Project.find()).names))"
    done = subprocess.run([sys.executable, "-c", words], cwd=project, capture_output=True, text=True, check=True)
    names = json.loads(done.stdout.splitlines()[-1])
    return sorted(name for name in names if name != "report") + [name for name in names if name == "report"]


def covey(project: Path, *arguments: str, **extra: str) -> subprocess.CompletedProcess:
    """`covey run` in a process of its own, from the project's code."""
    return subprocess.run(
        [sys.executable, "-c", "from flows.cli import app; app()", "run", *arguments],
        cwd=project,
        env={**os.environ, **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
