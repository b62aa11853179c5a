from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks.project.project import Project
from tasks.tracking import keys


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("loss/top-1@5", "loss/top-1_5"),
        ("../a//b/", "a/b"),
        ("/abs", "abs"),
        ("é ü:1", "é ü:1"),
        ("..", "_"),
    ],
)
def test_labels(name: str, expected: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert keys.label(name) == expected
    _validate_metric_name(keys.label(name))


def test_long_labels_stay_apart() -> None:
    one, other = keys.label("a/" * 200 + "b"), keys.label("a/" * 200 + "c")
    assert one != other
    assert len(one) <= keys.KEY_LENGTH


def test_parameter_texts() -> None:
    nested = {"a": {"b": 1, "c": {"d": True}}, "e": [1, 2], "f": "text", "g": None, "h": {}}
    assert keys.parameter_texts(nested) == {
        "a.b": "1",
        "a.c.d": "true",
        "e": "[1, 2]",
        "f": "text",
        "g": "null",
        "h": "{}",
    }


def test_the_commit_and_whether_it_is_all(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(
            ["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True, text=True
        ).stdout

    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-qm", "one")
    git("tag", "-a", "v1", "-m", "one")
    head = git("rev-parse", "HEAD").strip()
    assert keys.source_commit(Project(tmp_path)) == head
    (tmp_path / "file").write_text("2")
    assert keys.source_commit(Project(tmp_path)) == f"{head}-dirty"
