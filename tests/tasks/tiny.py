"""A DVC project of two stages, made and run in a moment: its commands are `cp` and `cat`."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

from tasks.process.command import command_environment
from tasks.project.project import Project

STAGES = {
    "prepare": {"cmd": "cp input.txt copy.txt", "deps": ["input.txt"], "params": ["a.b"], "outs": ["copy.txt"]},
    "report": {
        "cmd": "cat copy.txt params.yaml > folder/both.txt",
        "deps": ["copy.txt"],
        "params": ["c", {"code.json": ["report"]}],
        "outs": ["folder/both.txt"],
    },
}
PARAMETERS = {"a": {"b": [1, None]}, "c": "word"}


def make(root: Path) -> Path:
    """The project in `root`, with nothing run."""
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    (root / "folder").mkdir()
    (root / "input.txt").write_text("input\n")
    (root / "code.json").write_text('{"report": "0123"}\n')
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    set_parameters(root)
    return root


def set_parameters(root: Path, **changes) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMETERS | changes))


def project(root: Path) -> Project:
    """With params.yaml as it is now; Covey's own checks would refuse it."""
    return Project.given(root, yaml.safe_load((root / "params.yaml").read_text()))


def dvc(root: Path, *words: str) -> str:
    """What DVC's own command prints."""
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(
        command, cwd=root, env=command_environment({}), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def status(root: Path, *names: str) -> dict:
    return json.loads(dvc(root, "status", "--json", *names))
