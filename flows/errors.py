"""What all commands of `covey` share: exit codes, the lock on the project, and errors shown as one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from tasks.process import disks, faults, locks, stopping
from tasks.process.files import UnreadableFile
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage.apart import CallFailed
from tasks.staleness.dvc_errors import PipelineError

FAILED, WRONG, BUSY, REGRESSED, INTERRUPTED = 1, 2, 3, 4, 130
"""Exit codes."""
STOPPED = "\nStopped; all stages have ended. The next covey run continues from the last checkpoints."


class ServerError(RuntimeError):
    """A server did not start; the text names its log."""


@contextmanager
def run_lock(project: Project, name: str = "run") -> Iterator[None]:
    """Locks the project for one `covey run` (or `name`). The system releases the lock however this process ends.

    Raises:
        Exit: another process holds the lock. The exit code is BUSY, and a message says who holds it.
    """
    try:
        with locks.held(project.lock(name)):
            yield
    except locks.LockedError as error:
        print(
            f"Another covey {name} is running in {project.root} (pid {error.owner}). Wait for it, or stop it.",
            file=sys.stderr,
        )
        raise typer.Exit(BUSY) from None


class Commands(TyperGroup):
    """Commands whose mistakes of usage, such as an unknown option, are told as all others are: in one line."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TyperException as error:
            words = " ".join(error.format_message().split()).rstrip(".")
            command = " ".join(filter(None, ("covey", ctx.invoked_subcommand)))
            print(f"covey: {words}; see `{command} --help`.", file=sys.stderr)
            raise typer.Exit(WRONG) from None


def _of_machine(error: Exception) -> str | None:
    """What is said of a full disk or a damaged file; None for any other error.

    A database that finds no room makes its server fail in many ways, so the disks are looked at too.
    """
    if isinstance(error, UnreadableFile):
        return str(error)
    here = Path.cwd()
    if disks.is_full(error) or disks.free(disks.fullest(disks.of_project(here))) < disks.LEFT_OVER:
        return disks.sentence(here, error)
    return None


@contextmanager
def refusals() -> Iterator[None]:
    """Turns errors that the user can fix, and signals to stop, into a line and an exit code, without a traceback.

    The exit code of a signal is 130 for Ctrl-C, 143 for TERM and 129 for HUP.
    """
    with stopping.obeyed():
        try:
            yield
        except typer.Exit:
            raise
        except ParameterError as error:
            print(f"covey: {error}", file=sys.stderr)
            raise typer.Exit(WRONG) from None
        except (ServerError, PipelineError, CallFailed) as error:
            print(f"covey: {error}", file=sys.stderr)
            raise typer.Exit(FAILED) from None
        except KeyboardInterrupt as stop:
            print(STOPPED, file=sys.stderr)
            raise typer.Exit(getattr(stop, "code", INTERRUPTED)) from None
        except Exception as error:
            words = _of_machine(error)
            if words is None or faults.traced():
                raise
            print(f"covey: {words}", file=sys.stderr)
            raise typer.Exit(FAILED) from None
