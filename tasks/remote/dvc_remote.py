"""What the parent does with DVC around a stage that is worked on elsewhere.

Data go through DVC's remote: the parent pushes what the stage reads, the worker (tasks/remote/worker.py) pushes what it
wrote, and the parent takes that over as if it had run the command itself.

Each dvc runs in a process of its own, which can be ended; `at-hand` and `take-over` are this module's own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.process.command import command_environment, run_command
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.staleness import dvc_internals, lock_file

NO_REMOTE = (
    "a DVC remote is needed to get data to the workers and back: a bucket, or a folder that all of them share. "
    "`dvc remote add -d NAME URL` makes one."
)


def default_remote(project: Project) -> dict[str, str]:
    """Name and address of the project's DVC remote; a folder's path is absolute. Credentials are left out.

    Raises:
        ParameterError: there is none.
    """
    from dvc.config import Config

    config = Config(str(project.root / ".dvc"))
    name = config["core"].get("remote")
    if not name or name not in config["remote"]:
        raise ParameterError(NO_REMOTE)
    return {"name": name, "url": os.fspath(config["remote"][name]["url"])}


def is_at_hand(project: Project, name: str) -> bool:
    """Whether a stage is up to date, or DVC's cache holds what it would write: then nothing has to be computed."""
    return _command(project, f"{name}.at-hand", "tasks.remote.dvc_remote", "at-hand", name) == 0


def push(project: Project, names: Iterable[str], *, runs: bool = False, log: str = "push") -> None:
    """Sends the outputs of some stages to the remote; with `runs`, also what DVC remembers of past runs.

    Raises:
        RuntimeError: it failed; the text is the end of what dvc said.
    """
    words = ["push", *(["--run-cache"] if runs else []), *names]
    run(project, log, "dvc", "--wait-for-lock", *words)


def take_over(project: Project, name: str, entry: Mapping[str, Any], contents: Mapping[str, bytes]) -> None:
    """Makes a worker's work this project's own: its entry in dvc.lock and in the run cache, and all outputs.

    Raises:
        RuntimeError: the stage read something else than this project holds, or its outputs cannot be had.
    """
    for path, content in contents.items():
        with files.whole_file(project.root / path) as temporary:
            temporary.write_bytes(content)
    merge(project, name, entry)
    run(project, f"{name}.pull", "tasks.remote.dvc_remote", "take-over", name)


def read_lock(project: Project) -> str:
    """The text of dvc.lock, whole: no dvc writes it at this moment."""
    with dvc_internals.locked(project.root):
        path = project.root / paths.LOCK
        return path.read_text() if path.exists() else ""


def merge(project: Project, name: str, entry: Mapping[str, Any]) -> None:
    """Puts a stage's entry into dvc.lock, as if its command had run here.

    Raises:
        RuntimeError: the stage read something else than what dvc.lock says of the stage that writes it.
    """
    path = project.root / paths.LOCK
    with dvc_internals.locked(project.root):
        _refuse_other_inputs(name, entry, path)
        lock_file.write(path, name, entry)


def _refuse_other_inputs(name: str, entry: Mapping[str, Any], lock: Path) -> None:
    from dvc.utils.serialize import parse_yaml

    texts = lock_file.entry_texts(lock)
    read = {dependency["path"]: dependency.get("md5") for dependency in entry.get("deps", ())}
    for text in texts.values():
        if not any(path in text for path in read):
            continue
        for out in parse_yaml(f"x:\n{text}", str(lock))["x"].get("outs", ()):
            if out["path"] in read and out.get("md5") != read[out["path"]]:
                raise RuntimeError(f"{name} read another {out['path']} than this project's; nothing was taken over")


def run(project: Project, log: str, *words: str) -> None:
    """Runs a module of Python in the project; raises RuntimeError with the end of what it said where it fails."""
    if _command(project, log, *words):
        tail = "\n".join(_log(project, log).read_text(errors="replace").strip().splitlines()[-12:])
        raise RuntimeError(f"{' '.join(words)} failed:\n{tail}")


def _command(project: Project, log: str, *words: str) -> int | None:
    with open(_log(project, log), "wb") as output:
        command = [sys.executable, "-m", *words]
        return run_command(command, project.root, output, command_environment({}), None)


def _log(project: Project, name: str) -> Path:
    return project.log(f"dvc/{name}")


def main(arguments: list[str]) -> int:
    """`at-hand STAGE` answers by its exit code; `take-over STAGE` brings home what dvc.lock says."""
    what, name = arguments
    if what == "at-hand":
        return 0 if dvc_internals.at_hand(Path.cwd(), name) else 1
    dvc_internals.fetch(Path.cwd(), name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
