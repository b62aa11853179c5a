"""What every command of `covey` does first: find the project, hold it alone, and turn mistakes into one line."""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from flows.prefect_server import server
from flows.run import command
from tasks.project import paths
from tasks.settings import params
from tasks.staleness import graph

WRONG, BUSY, INTERRUPTED = 2, 3, 130


def find_root() -> Path:
    """The project's folder: the one that holds dvc.yaml, here or above.

    Raises:
        ParameterError: there is none.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "dvc.yaml").exists():
            return folder
    raise params.ParameterError(f"there is no dvc.yaml in {here} or above it; go to the project's folder first.")


@contextmanager
def run_lock(root: Path, name: str = "run") -> Iterator[None]:
    """Holds the project for one `covey run` (or `name`); the system gives it back however this process ends.

    Where another one holds it, that is said, and the command ends with BUSY.
    """
    path = paths.lock_file(root, name)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.read_text().strip() or "unknown"
            print(f"Another covey {name} is at work in {root} (pid {owner}). Wait for it, or stop it.", file=sys.stderr)
            raise typer.Exit(BUSY) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def refusals() -> Iterator[None]:
    """Turns what the user can mend into a line and an exit code, without a trace."""
    try:
        yield
    except params.ParameterError as error:
        print(f"covey: {error}", file=sys.stderr)
        raise typer.Exit(WRONG) from None
    except (server.ServerError, graph.PipelineError) as error:
        print(f"covey: {error}", file=sys.stderr)
        raise typer.Exit(command.FAILED) from None
    except KeyboardInterrupt:
        print(
            "\nStopped; every stage has ended. The next covey run goes on from the last checkpoints.", file=sys.stderr
        )
        raise typer.Exit(INTERRUPTED) from None
