"""The flow of a schedule: one `covey run` or `covey sweep`. Prefect's page shows its result as a state.

- Completed: all stale stages succeeded. Completed "Nothing stale": no stage was stale.
- Failed: stages failed (the message names them), or params.yaml has a mistake.
- Failed "Regression": all stages succeeded, but a score is worse than published. The type is Failed, so that filters
  and automations for failures find it.
- Cancelled "Skipped": another run was in progress, and `overlap` is `skip`.

As a program, `python -m flows.serve.flow RUN PID` carries out a flow run that Prefect has planned, in a process that
ends when the process PID does.
"""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO
from uuid import UUID

import typer
from prefect import flow, runtime
from prefect.states import Cancelled, Completed, Failed

from flows import command, errors
from flows.prefect_server import server
from flows.serve.states import SKIPPED, state_of
from flows.sweep.commands import run_sweep
from tasks.process import locks, stopping
from tasks.project.project import Project
from tasks.settings import schedules
from tasks.settings.schema import ParameterError
from tasks.stage.apart import CallFailed
from tasks.staleness.dvc_errors import PipelineError

FLOW_NAME = "covey-schedule"
_PAUSE_SECONDS = 1.0
_logger = logging.getLogger("prefect.flow_runs.covey")
_logger.setLevel(logging.INFO)  # independent of the level of Prefect's own messages
_logger.propagate = False


@flow(name=FLOW_NAME, flow_run_name="{schedule}", persist_result=False)  # type: ignore[untyped-decorator]
def refresh(schedule: str) -> Any:
    """Carries out one schedule of params.yaml, in the project of the working folder. Returns the final state."""
    with _told_to_prefect(str(runtime.flow_run.id)):
        try:
            project = Project.find()
            return run_scheduled(project, schedules.find(project.parameters, schedule))
        except (ParameterError, errors.ServerError, PipelineError, CallFailed) as error:
            print(f"covey: {error}", file=sys.stderr)
            return Failed(message=str(error))


def run_scheduled(project: Project, entry: schedules.Schedule) -> Any:
    """Runs a schedule's command. If another run is in progress, it waits or skips. Returns the final state."""
    while True:
        state = _sweep(project, entry.sweep) if entry.sweep else _run(project, tuple(entry.run))
        if state is not None:
            return state
        if entry.overlap == schedules.SKIP:
            return Cancelled(name=SKIPPED, message=f"{entry.command} was skipped: another run is in progress.")
        print(f"{entry.command} waits for the other run.", flush=True)
        locks.wait_until_free(project.lock("run"))
        time.sleep(_PAUSE_SECONDS)


def _run(project: Project, targets: tuple[str, ...]) -> Any | None:
    """Runs `covey run`. Returns its final state, or None if another run is in progress."""
    try:
        with errors.run_lock(project):
            return state_of(command.run(project.reread(), command.Asked(targets)))
    except typer.Exit as ended:
        if ended.exit_code == errors.BUSY:
            return None
        raise


def _sweep(project: Project, name: str) -> Any | None:
    """Runs `covey sweep`. Returns its final state, or None if another run is in progress."""
    try:
        failed = run_sweep(project.reread(), name, dry_run=False, jobs=None)
    except typer.Exit as ended:
        if ended.exit_code == errors.BUSY:
            return None
        raise
    return Failed(message=f"covey sweep {name}: a point failed") if failed else Completed()


class _Lines(io.TextIOBase):
    """A text stream that passes on its text, and also logs each complete line for a flow run."""

    def __init__(self, stream: TextIO, flow_run: str, level: int) -> None:
        self._stream, self._level, self._rest = stream, level, ""
        self._extra = {"flow_run_id": flow_run}

    def write(self, text: str) -> int:
        self._stream.write(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                _logger.log(self._level, line.rstrip(), extra=self._extra)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def _told_to_prefect(flow_run: str) -> Iterator[None]:
    """Also sends the output of the block to the flow run's log on Prefect's page."""
    out, error = _Lines(sys.stdout, flow_run, logging.INFO), _Lines(sys.stderr, flow_run, logging.WARNING)
    handlers = logging.getLogger("prefect.flow_runs").handlers
    for handler in handlers:
        _logger.addHandler(handler)
    try:
        with redirect_stdout(out), redirect_stderr(error):
            yield
    finally:
        for handler in handlers:
            handler.flush()
            _logger.removeHandler(handler)


def main(flow_run: str, parent: int) -> None:
    """Carries out a scheduled flow run. Ends when the parent ends."""
    threading.Thread(target=server.end_with, args=(parent,), daemon=True).start()
    from prefect.client.orchestration import get_client
    from prefect.flow_engine import run_flow

    with stopping.obeyed(always=(signal.SIGINT,)):  # a process in the background of a shell ignores it
        with get_client(sync_client=True) as client:
            planned = client.read_flow_run(UUID(flow_run))
        run_flow(refresh, flow_run=planned, return_type="state")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
