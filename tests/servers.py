"""Servers that all tests of a session share, in every worker of pytest-xdist: Prefect's, and the fork server.

The first test that needs one starts it, in a keeper process: `python -m tests.servers KIND OWNER FOLDER`. The keeper
writes FOLDER/KIND.json, the environment that leads to the server, once the server answers. It ends the server when the
process OWNER ends, which is pytest itself, or pytest-xdist's controller.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from flows.prefect_server import server
from tasks.process import files, locks
from tasks.process.fork_client import ADDRESS, fork_server
from tasks.project.project import Project
from tasks.stage import fork_server as forks
from tasks.stage.apart import call

CHECKOUT = Path(__file__).parents[1]
PATIENCE = 120.0
"""Seconds that a server may take to start on a busy machine."""

Environment = Mapping[str, str]


def shared(kind: str, factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment that leads to the server of this kind; starts it where no worker has done so yet."""
    folder, owner = factory.getbasetemp(), os.getpid()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder, owner = folder.parent, os.getppid()
    note = folder / f"{kind}.json"
    with locks.held(folder / f"{kind}.lock", wait=None):
        if not note.exists():
            _start(kind, owner, folder, note)
    found: dict[str, str] = files.read_json(note)
    return found


def _start(kind: str, owner: int, folder: Path, note: Path) -> None:
    """Returns once the note is there. Fails with the keeper's last words if the keeper ends before."""
    log = folder / f"{kind}.log"
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    left_out = ("PREFECT_API_URL", ADDRESS)
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.servers", kind, str(owner), str(folder)],
            cwd=folder,
            env={**environment, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    while not note.exists():
        with suppress(subprocess.TimeoutExpired):
            keeper.wait(0.05)
        assert keeper.returncode is None, f"the {kind} server did not start: {log.read_text()}"
    keeper.returncode = 0  # it outlives this process: nobody waits for it


@contextmanager
def prefect(folder: Path) -> Iterator[Environment]:
    """A Prefect server with a database of its own."""
    project = Project(folder / "prefect")
    with server.running(project) as one:
        one.wait_until_up(PATIENCE)
        yield {name: os.environ[name] for name in ("PREFECT_API_URL", "PREFECT_HOME")}


@contextmanager
def fork(folder: Path) -> Iterator[Environment]:
    """A fork server that has its imports done; no environment where there can be none."""
    place = folder / "fork"
    place.mkdir()
    (place / "tasks").symlink_to(CHECKOUT / "tasks")
    with forks.running(Project(place)) as environment:
        os.environ.update(environment)
        answered, deadline = not environment, time.monotonic() + PATIENCE
        while not answered and fork_server() and time.monotonic() < deadline:
            with suppress(OSError):
                answered = call(Project(place), "builtins:bool")
        assert answered, Project(place).log("forkserver").read_text()
        yield environment


KINDS: dict[str, Callable[[Path], AbstractContextManager[Environment]]] = {"prefect": prefect, "fork": fork}


def main(kind: str, owner: int, folder: Path) -> None:
    """Keeps a server until its owner ends."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background may have had it ignored
    with suppress(psutil.NoSuchProcess), KINDS[kind](folder) as environment:
        files.write_json(folder / f"{kind}.json", dict(environment))
        psutil.Process(owner).wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
