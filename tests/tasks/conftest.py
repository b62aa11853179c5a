"""A small project of its own, with its own copy of the code, so that a test may edit and kill what it likes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tasks.process import said
from tasks.project.project import Project
from tasks.staleness import code_hash
from tasks.tracking import server
from tests.tasks import tiny
from tests.tasks.records import execute

ROOT = Path(__file__).parents[2]
SMALL = {
    "datasets": {
        "world": {
            "name": "world",
            "reader": "world",
            "source": "ssl_models/datasets/world.py",
            "train": 192,
            "test": 96,
        }
    },
    "groups": {},
    "kind": "pictures",
    "encoder": {"name": "resnet", "depth": 10, "width": 4, "stem_stride": 2},
    "training": {"epochs": 3, "batch_size": 64, "learning_rate": 0.05},
    "runs": "all",
    "sets": {},
    "pretrain": {"rotation": {"method": "rotation"}},
    "clusterfit": {"rotation_cf": {"source": "rotation", "clusters": 5}},
    "transfer": {"knn": {"neighbours": 20}},
    "targets": {},
    "protocols": "all",
    "suites": {},
}


def make_project(folder: Path, **changes) -> Path:
    """A project in `folder`: this tree's code and dvc.yaml, and params.yaml as SMALL, with `changes` to its blocks."""
    for name in ("flows", "tasks", "ssl_models"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, folder / name)
    parameters = yaml.safe_load((ROOT / "params.yaml").read_text()) | SMALL | changes
    parameters["data"] = next(iter(parameters["datasets"].values()))
    parameters["machine"] = {"threads": 1, "precision": "float32"}
    (folder / "params.yaml").write_text(yaml.safe_dump(parameters, sort_keys=False))
    code_hash.write(folder)
    (folder / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    return folder


def run_stage(project: Path, stage: str, environment: dict[str, str], **extra: str) -> subprocess.CompletedProcess:
    """`dvc repro --single-item stage` as a person would type it, with its output captured; all stages if it is ""."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "dvc", "repro", *(["--single-item", stage] if stage else [])],
        cwd=project,
        env={**os.environ, **environment, "PATH": path, **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run_in_fork(project: Path, stage: str, environment: dict[str, str], **extra: str) -> subprocess.CompletedProcess:
    """The stage as `covey run` brings it up to date, with DVC in a fork of the fork server; it prints into its log."""
    words = "import sys; from tasks.project.project import Project; from tasks.staleness.reproduce import reproduce; "
    words += "print(reproduce(Project.find(), sys.argv[1]))"
    return subprocess.run(
        [sys.executable, "-c", words, stage],
        cwd=project,
        env={**os.environ, **environment, **extra},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def edit(project: Path, **blocks) -> None:
    """Replaces keys of blocks in params.yaml: edit(project, clusterfit={"rotation_cf": {...}})."""
    path = project / "params.yaml"
    content = yaml.safe_load(path.read_text())
    for block, values in blocks.items():
        content[block] |= values
    path.write_text(yaml.safe_dump(content, sort_keys=False))


@pytest.fixture
def project(tmp_path):
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def tiny_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny project as DVC's own command leaves it."""
    root = tiny.make(tmp_path_factory.mktemp("tiny"))
    tiny.dvc(root, "repro")
    return root


@pytest.fixture
def tiny_copy(tiny_done: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may edit."""
    return Path(shutil.copytree(tiny_done, tmp_path / "project"))


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database, made once."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        server.initialise(Project(root))
    return server.database(Project(root))


@pytest.fixture
def root(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with a database; making one takes seconds, so it is copied and told where it is."""
    for name in ("MLFLOW_TRACKING_URI", "COVEY_PARENT_RUN", "COVEY_PREFECT_RUN", "PREFECT__FLOW_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(said, "_said", set())
    path = server.database(Project(tmp_path))
    path.parent.mkdir()
    shutil.copy(template, path)
    execute(tmp_path, f"UPDATE experiments SET artifact_location = '{server.artifacts(Project(tmp_path))}'")
    return tmp_path
