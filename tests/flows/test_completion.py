"""What the shell is offered, and the version."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows import completion
from flows.cli import app
from flows.commands import version
from tasks.artifacts.features import Features
from tasks.tracking import release

PARAMETERS = """
data: {name: photos}
datasets: {photos: {}, cifar10: {}}
sets: {small: [random]}
suites: {quick: [linear]}
pretrain: {random: {}, rotation: {}}
clusterfit: {rotation_cf: {source: rotation}}
transfer: {linear: {}}
targets: {cells: {}}
"""
LAYERS = {name: np.zeros((1, 2), np.float16) for name in ("conv1", "res2", "pooled")}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text(PARAMETERS)
    (tmp_path / "dvc.yaml").write_text("stages: {prepare: {}, pretrain: {}, report: {}}\n")
    for folder, name in (("sweeps", "clusters"), ("studies", "label_noise")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.yaml").touch()
    (tmp_path / "below").mkdir()
    Features(tmp_path / "runs" / "photos" / "rotation" / "features").write("train", [LAYERS], 1)
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


def offered(line: str) -> list[str]:
    """What bash is told for the last word of a line."""
    words = line.split(" ")
    environment = {"_COVEY_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return CliRunner(env=environment).invoke(app, [], prog_name="covey").stdout.split()


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("covey run r", ["random", "rotation", "rotation_cf", "report"]),
        ("covey dag p", ["prepare", "pretrain"]),
        ("covey run --data ", ["photos", "cifar10"]),
        ("covey run --data ./", []),
        ("covey run --runs ", ["all", "small"]),
        ("covey run --protocols q", ["quick"]),
        ("covey vectors rotation", ["rotation", "rotation_cf"]),
        ("covey embed rot", ["rotation", "rotation_cf"]),
        ("covey atlas ra", ["random"]),
        ("covey export rotation_", ["rotation_cf"]),
        ("covey export rotation --to t", ["torchvision", "timm"]),
        ("covey export rotation --to ", ["torchvision", "timm", "onnx", "safetensors"]),
        ("covey embed rotation --layer ", ["conv1", "res2", "pooled"]),
        ("covey atlas rotation --layer r", ["res2"]),
        ("covey embed rotation_cf --layer ", []),
        ("covey embed nothing --layer ", []),
        ("covey embed --layer ", []),
        ("covey sweep ", ["clusters"]),
        ("covey study l", ["label_noise"]),
        ("covey ve", ["vectors"]),
    ],
)
def test_names_of_the_project_are_offered(line: str, names: list[str]) -> None:
    assert offered(line) == names


@pytest.mark.parametrize("content", ["datasets: [", "[]", None, "sets: 3"])
def test_files_that_cannot_be_used_offer_nothing_and_say_nothing(project: Path, content: str | None) -> None:
    (project / "params.yaml").unlink()
    if content is not None:
        (project / "params.yaml").write_text(content)
    for complete in (completion.data_sets, completion.sets):
        assert complete("x") == []


def test_outside_of_a_project_nothing_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.targets("") == completion.sweeps("") == []


def test_nothing_heavy_is_imported_for_a_completion() -> None:
    words = (
        "import sys, flows.cli; print([n for n in ('torch', 'mlflow', 'prefect', 'dvc', 'numpy') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_version_names_the_commit_of_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "1.2.3")
    monkeypatch.setattr(release, "CODE", tmp_path / "ssl_models")
    assert CliRunner().invoke(app, ["--version"]).stdout == "covey 1.2.3\n"
    (tmp_path / ".git").mkdir()
    for commit, shown in (
        ("0123456789abcdef" * 2, "0123456789ab"),
        ("0123456789abcdef-dirty", "0123456789ab-dirty"),
    ):
        monkeypatch.setattr(release, "source_commit", lambda _, commit=commit: commit)
        assert CliRunner().invoke(app, ["--version"]).stdout == f"covey 1.2.3 ({shown})\n"
    monkeypatch.setattr(release, "source_commit", lambda _: "none")
    assert version.text() == "covey 1.2.3"


def test_a_version_that_is_not_installed_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> str:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "version", absent)
    assert version.text().startswith("covey of an unknown version")
