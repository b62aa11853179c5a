"""What every command of `covey` does around its work: it holds the project alone, and turns mistakes into one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from tasks.process import locks
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage.apart import CallFailed
from tasks.staleness.dvc_errors import PipelineError

FAILED, WRONG, BUSY, REGRESSED, INTERRUPTED = 1, 2, 3, 4, 130
"""Exit codes."""


class ServerError(RuntimeError):
    """A server did not come up; the text names its log."""


@contextmanager
def run_lock(project: Project, name: str = "run") -> Iterator[None]:
    """Holds the project for one `covey run` (or `name`); the system gives it back however this process ends.

    Where another one holds it, that is said, and the command ends with BUSY.
    """
    try:
        with locks.held(project.lock(name)):
            yield
    except locks.LockedError as error:
        print(
            f"Another covey {name} is at work in {project.root} (pid {error.owner}). Wait for it, or stop it.",
            file=sys.stderr,
        )
        raise typer.Exit(BUSY) from None


@contextmanager
def refusals() -> Iterator[None]:
    """Turns what the user can mend into a line and an exit code, without a trace."""
    try:
        yield
    except ParameterError as error:
        print(f"covey: {error}", file=sys.stderr)
        raise typer.Exit(WRONG) from None
    except (ServerError, PipelineError, CallFailed) as error:
        print(f"covey: {error}", file=sys.stderr)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        print(
            "\nStopped; every stage has ended. The next covey run goes on from the last checkpoints.", file=sys.stderr
        )
        raise typer.Exit(INTERRUPTED) from None
