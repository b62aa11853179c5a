"""DVC's model registry finds the encoders that results/dvc.yaml names."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tasks.project.project import Project
from tasks.reporting import models_file
from tasks.staleness import dvc_internals
from tests.tasks import tiny


def run(name: str, training: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(name=name, training=training)


RUNS = [run("random", {"epochs": 0}), run("simclr", {"epochs": 3}), run("lost", {}), run("gone", {"absent": "failed"})]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function from what leads to the file's text."""
    monkeypatch.setattr(models_file, "verdict", lambda _: ["On photos, simclr leads: 50.0\u00a0%.", "And more."])

    def text(root: Path, best: str | None = "simclr") -> str:
        monkeypatch.setattr(models_file, "winner", lambda _: run(best, {}) if best else None)
        return models_file.text(Project(root), [SimpleNamespace(name="photos", runs=RUNS)])

    return text


def test_every_run_with_an_encoder_is_named_and_the_best_once_more(tmp_path: Path, written: Any) -> None:
    found = yaml.safe_load(written(tmp_path))
    assert found == {
        "artifacts": {
            "photos-random": {
                "path": "../runs/photos/random/encoder",
                "type": "model",
                "desc": "The encoder of the run random.",
                "labels": ["random"],
            },
            "photos-simclr": {
                "path": "../runs/photos/simclr/encoder",
                "type": "model",
                "desc": "The encoder of the run simclr.",
                "labels": ["simclr"],
            },
            "photos-champion": {
                "path": "../runs/photos/simclr/encoder",
                "type": "model",
                "desc": "On photos, simclr leads: 50.0\u00a0%.",
                "labels": ["champion", "simclr"],
            },
        }
    }
    assert list(yaml.safe_load(written(tmp_path, None))["artifacts"]) == ["photos-random", "photos-simclr"]


def test_dvc_fetches_a_model_by_its_name_and_the_pipeline_is_as_before(tmp_path: Path, written: Any) -> None:
    root = tiny.make(tmp_path / "project")
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n")
    (root / "runs/photos/simclr/encoder").mkdir(parents=True)
    (root / "runs/photos/simclr/encoder/encoder.json").write_text("{}\n")
    (root / "results").mkdir()
    (root / "results/dvc.yaml").write_text(written(root))

    def git(*words: str) -> None:
        own = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *own, *words], cwd=root, check=True, capture_output=True)

    git("init", "--quiet")
    assert dvc_internals.resolve(root).keys() == {"prepare", "report"}
    tiny.dvc(root, "add", "--quiet", "runs/photos/simclr/encoder")
    git("add", "--all")
    git("commit", "--quiet", "--message", "report")
    git("tag", "--annotate", "results=photos-champion@v1.0.0", "--message", "registered")
    tiny.dvc(root, "artifacts", "get", ".", "results:photos-champion", "-o", "fetched")
    assert (root / "fetched" / "encoder.json").read_text() == "{}\n"
