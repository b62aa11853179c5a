"""Points as DVC experiments: what travels, what is shared, what comes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import experiments, points, results
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.settings import Measure
from tests.tasks.conftest import make_project

pytestmark = pytest.mark.long

CONTENT: dict[str, Any] = {
    "base": {"training.epochs": 1},
    "grid": {"clusterfit.rotation_cf.clusters": [4, 6]},
    "seeds": [1],
    "targets": ["rotation_cf-knn"],
}


@pytest.fixture(scope="module")
def versioned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project in git."""
    root = make_project(tmp_path_factory.mktemp("project"))
    (root / ".dvc/config.local").unlink()
    (root / ".gitignore").write_text(".covey/\n__pycache__/\n/data/\n/runs/\n/metrics/\n/code.json\n.dvc/tmp/\n")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    for words in (("init", "-q"), ("add", "-A"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "a")):
        subprocess.run(["git", *words], cwd=root, check=True)
    return root


def test_the_baseline_is_the_tracked_files_with_the_sweep_s_parameters(versioned: Path) -> None:
    sweep = sweeps.build(Project(versioned), "try", CONTENT)
    commit = experiments.baseline(Project(versioned), sweep)
    assert experiments.baseline(Project(versioned), sweep) == commit
    text = experiments.git(versioned, "show", f"{commit}:params.yaml")
    assert "epochs: 1" in text
    assert "#" not in text
    assert experiments.git(versioned, "status", "--porcelain") == ""  # neither files nor index were touched
    path = versioned / "ssl_models/methods/rotation.py"
    before = path.read_text()
    path.write_text(before + "# edited\n")
    try:
        edited = experiments.baseline(Project(versioned), sweep)
        assert experiments.git(versioned, "show", f"{edited}:ssl_models/methods/rotation.py").endswith("# edited")
    finally:
        path.write_text(before)


def test_a_folder_of_images_that_git_does_not_have_is_found_from_anywhere(versioned: Path) -> None:
    (versioned / "photos").mkdir(exist_ok=True)
    block = {"name": "photos", "reader": "folder", "source": "photos"}
    content = {**CONTENT, "base": {"datasets.photos": block, "data": block}}
    commit = experiments.baseline(Project(versioned), sweeps.build(Project(versioned), "own", content))
    written = yaml.safe_load(experiments.git(versioned, "show", f"{commit}:params.yaml"))
    assert written["data"]["source"] == str(versioned / "photos")
    assert written["datasets"]["world"]["source"] == "ssl_models/datasets/world.py"


def test_what_lies_outside_of_the_project_is_told_by_its_whole_path(
    versioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("photos", "weights.pth", "groups.csv"):
        (tmp_path / name).touch()
    (versioned / "linked").symlink_to(tmp_path)
    block = {"reader": "folder", "labels": "names.CSV", "group": "~/groups.csv"}
    given = {
        "data": block | {"name": "here", "source": "linked/photos"},
        "datasets": {"there": block | {"name": "there", "source": str(tmp_path / "photos"), "labels": "folder"}},
        "targets": {"all": {"data": {"name": "up", "source": f"../{versioned.name}/dvc.yaml", "group": "dvc.csv"}}},
        "pretrain": {"begun": {"initialise": "~/weights.pth"}, "named": {"method": "pretrained", "weights": "DEFAULT"}},
        "clusterfit": {},
    }
    found = experiments._from_anywhere(Project(versioned), given)
    whole, groups = str(tmp_path / "photos"), str(tmp_path / "groups.csv")
    own = {"labels": str(versioned / "names.CSV"), "group": groups}
    assert found["data"] == given["data"] | own | {"source": whole}
    assert found["datasets"]["there"] == given["datasets"]["there"] | {"group": groups, "source": whole}
    assert found["targets"]["all"]["data"]["source"] == f"../{versioned.name}/dvc.yaml"
    assert found["targets"]["all"]["data"]["group"] == str(versioned / "dvc.csv")
    assert found["pretrain"] == given["pretrain"] | {"begun": {"initialise": str(tmp_path / "weights.pth")}}
    (versioned / "linked").unlink()


def test_code_that_git_does_not_know_is_refused_by_name(versioned: Path) -> None:
    path = versioned / "ssl_models/methods/mine.py"
    path.write_text("METHOD = None\n")
    try:
        with pytest.raises(ParameterError, match=r"ssl_models/methods/mine.py.*git add"):
            experiments.baseline(Project(versioned), sweeps.build(Project(versioned), "try", CONTENT))
    finally:
        path.unlink()


def test_points_run_as_experiments_and_share_what_they_have_in_common(
    versioned: Path, fork: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = sweeps.build(Project(versioned), "try", CONTENT)
    few, many = points.points(Project(versioned), sweep)
    place = experiments.copy(Project(versioned), 0, experiments.baseline(Project(versioned), sweep))
    environment = {**fork, paths.WORK: str(versioned / ".covey/sweeps/work")}
    logs, records = {}, {}
    for point in (few, many):
        seconds = experiments.run(Project(versioned), place, point, environment)
        revision = experiments.bring_home(Project(versioned), place, point)
        logs[point.name] = Project(versioned).log(experiments.log_name(point)).read_text()
        metrics = experiments.metrics(Project(versioned), revision)
        records[point.name] = results.file(Project(versioned), point, metrics, seconds, revision)
    assert "Running stage 'pretrain@rotation'" in logs[few.name]
    assert "Running stage 'pretrain@rotation'" not in logs[many.name]
    assert "Running stage 'clusterfit@rotation_cf'" in logs[many.name]
    assert set(records[few.name]["spent"]) >= {"pretrain@rotation", "cluster@rotation_cf", "clusterfit@rotation_cf"}
    assert 0 <= results.value(records[few.name], Measure("rotation_cf", "knn")) <= 1
    assert points.record(Project(versioned), few) == json.loads(json.dumps(records[few.name]))
    written = Project(versioned).log(experiments.log_name(few)).stat().st_mtime_ns
    experiments.run(Project(versioned), place, few, environment)
    assert Project(versioned).log(experiments.log_name(few)).stat().st_mtime_ns == written, "it was there already"
    told = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "list", "--rev", f"refs/covey/sweeps/{sweep.name}", "--name-only"],
        cwd=versioned,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {few.name, many.name} <= set(told.stdout.split())


def test_an_experiment_that_fails_says_where_its_log_is(versioned: Path, fork: dict[str, str]) -> None:
    sweep = sweeps.build(Project(versioned), "bad", {**CONTENT, "base": {"training.batch_size": 5000}})
    point = points.points(Project(versioned), sweep)[0]
    place = experiments.copy(Project(versioned), 1, experiments.baseline(Project(versioned), sweep))
    with pytest.raises(experiments.StageFailed, match="clusters 4, seed 1") as failure:
        experiments.run(Project(versioned), place, point, fork)
    assert failure.value.log.exists()
    assert failure.value.final
    assert experiments.revision(place, point.name) is None
