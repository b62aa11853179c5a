"""What the parent does with DVC around a stage that is worked on elsewhere.

Data go through DVC's remote: the parent pushes what the stage reads, the worker pushes what it wrote (tasks/remote/worker.py),
and the parent takes that over as if it had run the command itself.

Each dvc runs in a process of its own, which can be ended; `at-hand` and `take-over` are this module's own.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.project import paths
from tasks.settings.schema import ParameterError
from tasks.staleness import graph

LOCK_FILE = "dvc.lock"
LOCK_SECONDS = 600.0
NO_REMOTE = (
    "a DVC remote is needed to get data to the workers and back: a bucket, or a folder that all of them share. "
    "`dvc remote add -d NAME URL` makes one."
)


def default_remote(root: Path) -> dict[str, str]:
    """Name and address of the project's DVC remote; a folder's path is absolute. Credentials are left out.

    Raises:
        ParameterError: there is none.
    """
    from dvc.config import Config

    config = Config(str(root / ".dvc"))
    name = config["core"].get("remote")
    if not name or name not in config["remote"]:
        raise ParameterError(NO_REMOTE)
    return {"name": name, "url": os.fspath(config["remote"][name]["url"])}


def is_at_hand(root: Path, name: str) -> bool:
    """Whether a stage is up to date, or DVC's cache holds what it would write: then nothing has to be computed."""
    return _command(root, f"{name}.at-hand", "tasks.remote.dvc_remote", "at-hand", name) == 0


def push(root: Path, names: Iterable[str], *, runs: bool = False, log: str = "push") -> None:
    """Sends the outputs of some stages to the remote; with `runs`, also what DVC remembers of past runs.

    Raises:
        RuntimeError: it failed; the text is the end of what dvc said.
    """
    words = ["push", *(["--run-cache"] if runs else []), *names]
    run(root, log, "dvc", "--wait-for-lock", *words)


def take_over(root: Path, name: str, entry: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
    """Makes a worker's work this project's own: its entry in dvc.lock and in the run cache, and all outputs.

    Raises:
        RuntimeError: the stage read something else than this project holds, or its outputs cannot be had.
    """
    for path, content in files.items():
        with paths.whole_file(root / path) as temporary:
            temporary.write_bytes(content)
    merge(root, name, entry)
    run(root, f"{name}.pull", "tasks.remote.dvc_remote", "take-over", name)


def read_lock(root: Path) -> str:
    """The text of dvc.lock, whole: no dvc writes it at this moment."""
    with _dvc_lock(root):
        path = root / LOCK_FILE
        return path.read_text() if path.exists() else ""


def merge(root: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Puts a stage's entry into dvc.lock, as if its command had run here.

    Raises:
        RuntimeError: the stage read something else than what dvc.lock says of the stage that writes it.
    """
    from dvc.utils.serialize import dump_yaml, parse_yaml_for_update

    path = root / LOCK_FILE
    with _dvc_lock(root):
        text = path.read_text() if path.exists() else ""
        content = parse_yaml_for_update(text, str(path)) or {"schema": "2.0"}
        stages = content.setdefault("stages", {})
        _refuse_other_inputs(name, entry, stages)
        stages[name] = entry
        with paths.whole_file(path) as temporary:
            dump_yaml(str(temporary), content)


def _refuse_other_inputs(name: str, entry: Mapping[str, Any], stages: Mapping[str, Any]) -> None:
    made = {out["path"]: out.get("md5") for other in stages.values() for out in other.get("outs", ())}
    for dependency in entry.get("deps", ()):
        path = dependency["path"]
        if path in made and made[path] != dependency.get("md5"):
            raise RuntimeError(f"{name} read another {path} than this project's; nothing was taken over")


@contextmanager
def _dvc_lock(root: Path) -> Iterator[None]:
    """Holds the lock under which every dvc of this project writes dvc.lock."""
    from dvc.lock import LockError, make_lock

    folder = root / ".dvc" / "tmp"
    folder.mkdir(parents=True, exist_ok=True)
    lock = make_lock(str(folder / "lock"), tmp_dir=str(folder))
    patience = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.lock()
            break
        except LockError:
            if time.monotonic() > patience:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        lock.unlock()


def run(root: Path, log: str, *words: str) -> None:
    """Runs a module of Python in the project; raises RuntimeError with the end of what it said where it fails."""
    if _command(root, log, *words):
        tail = "\n".join(_log(root, log).read_text(errors="replace").strip().splitlines()[-12:])
        raise RuntimeError(f"{' '.join(words)} failed:\n{tail}")


def _command(root: Path, log: str, *words: str) -> int | None:
    with open(_log(root, log), "wb") as output:
        return graph.run_command(
            [sys.executable, "-m", *words], root, output, graph.command_environment({}), timeout=None
        )


def _log(root: Path, name: str) -> Path:
    path = paths.log_file(root, f"dvc/{name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _at_hand(root: Path, name: str) -> bool:
    from dvc.repo import Repo, lock_repo
    from dvc.stage.cache import RunCacheNotFoundError

    with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
        stage = stage_of(repo, name)
        if not stage.changed():
            return True
        stage.save_deps()
        try:
            repo.stage_cache.restore(stage, dry=True)
        except RunCacheNotFoundError:
            return False
        return True


def _take_over(root: Path, name: str) -> None:
    from dvc.repo import Repo, lock_repo

    with Repo(str(root), _wait_for_lock=True) as repo:
        repo.pull(targets=[name], force=True)
        stage = stage_of(repo, name)
        if all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs):  # as dvc itself does
            with lock_repo(repo):
                repo.stage_cache.save(stage)


def stage_of(repo: Any, name: str) -> Any:
    return next(stage for stage in repo.index.stages if stage.name == name)


def main(arguments: list[str]) -> int:
    """`at-hand STAGE` answers by its exit code; `take-over STAGE` brings home what dvc.lock says."""
    what, name = arguments
    if what == "at-hand":
        return 0 if _at_hand(Path.cwd(), name) else 1
    _take_over(Path.cwd(), name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
