"""The Prefect deployments of a project's schedules, and the processes that carry out their runs.

Prefect plans the runs, and this service carries them out. Prefect's own runner is not used: it would start all late
runs one after the other (prefect #15886), and its limits in the database are not released after a kill (#17415).

- If times passed while no service was running, or while the machine slept, only the newest run is carried out. The
  others end as "Missed". If `catch_up` is off, all times before the start of the service are missed.
- If the previous run of a schedule is still in progress, a new one is "Skipped", or waits with `overlap: queue`. Only
  one scheduled run waits, since one brings everything up to date.
- A run that is cancelled on Prefect's page is ended with all its processes. When this process ends, all runs end:
  after Ctrl-C with their checkpoints written, after a kill within a second.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from flows.prefect_server import server
from flows.serve.states import MISSED, SKIPPED, STOPPED
from tasks.process import identity as processes
from tasks.project.project import Project
from tasks.settings import params, schedules
from tasks.settings.schedules import Schedule

TAG = "covey-schedule"
GRACE_SECONDS = 30.0
_CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Due:
    """A flow run that is due. planned: by the schedule, not by hand."""

    id: UUID
    time: datetime
    planned: bool


def triage(due: Sequence[Due], entry: Schedule, began: datetime) -> tuple[list[Due], list[Due]]:
    """The runs of one schedule to carry out, in order, and the missed runs. At most one planned run is carried out.

    began: when this service started.
    """
    planned = sorted((run for run in due if run.planned), key=lambda run: run.time)
    wanted = [] if entry.paused else [run for run in planned if entry.catch_up or run.time >= began][-1:]
    missed = [run for run in planned if run not in wanted]
    return sorted([*(run for run in due if not run.planned), *wanted], key=lambda run: run.time), missed


class Service:
    """The deployments of a project, and the processes that carry out their runs."""

    def __init__(self, project: Project, entries: Mapping[str, Schedule]) -> None:
        self.project, self.entries = project, entries
        self.began = datetime.now(UTC)
        self.deployments: dict[UUID, str] = {}
        self.active: dict[UUID, tuple[str, subprocess.Popen[bytes]]] = {}
        self._read_at = _modified(project)
        self._stack = ExitStack()

    def __enter__(self) -> Service:
        import httpx
        from prefect.client.orchestration import get_client

        self.client = self._stack.enter_context(get_client(sync_client=True))
        self.connection_errors = (httpx.TransportError, httpx.HTTPStatusError)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.stop()
        finally:
            self._stack.close()

    def register(self) -> None:
        """Creates or updates the deployments of all schedules, and deletes those of removed schedules."""
        from prefect.client.schemas import filters

        self.deployments = {_deployment(entry).apply(): entry.name for entry in self.entries.values()}
        ours = filters.DeploymentFilter(tags=filters.DeploymentFilterTags(all_=[TAG]))
        for found in self.client.read_deployments(deployment_filter=ours):
            if found.id not in self.deployments:
                self.client.delete_deployment(found.id)

    def close_dead(self) -> None:
        """Closes runs that a killed service or a killed `covey run` has left open."""
        for run in self.client.read_flow_runs(flow_run_filter=server.running_filter()):
            owner = next((tag.removeprefix(server.OWNER_TAG) for tag in run.tags if server.OWNER_TAG in tag), None)
            if run.deployment_id in self.deployments or (owner and not processes.is_alive(json.loads(owner))):
                server.close_run(self.client, run.id)

    def step(self) -> None:
        """Handles edits of params.yaml, runs that have ended, cancellations, and runs that are due."""
        self._reread()
        for identity, (name, process) in list(self.active.items()):
            if process.poll() is not None:
                self._note_end(identity, name)
            elif self.client.read_flow_run(identity).state_type == "CANCELLING":
                self._end([identity], "Cancelled", "Cancelled on Prefect's page.")
        due: dict[str, list[Due]] = {name: [] for name in self.entries}
        for run in self.client.get_scheduled_flow_runs_for_deployments(list(self.deployments), datetime.now(UTC)):
            due[self.deployments[run.deployment_id]].append(
                Due(run.id, run.next_scheduled_start_time, run.auto_scheduled)
            )
        for name, runs in due.items():
            self._decide(self.entries[name], runs)

    def stop(self) -> None:
        """Ends all runs in progress."""
        self._end(list(self.active), STOPPED, "covey serve was stopped. The next run continues from the checkpoints.")

    def _decide(self, entry: Schedule, due: Sequence[Due]) -> None:
        wanted, missed = triage(due, entry, self.began)
        for run in missed:
            self._cancel(run.id, MISSED, "Its time passed while covey serve was not running.")
        for run in wanted:
            if entry.name not in {name for name, _ in self.active.values()}:
                self._start(run, entry)
            elif entry.overlap == schedules.SKIP:
                self._cancel(run.id, SKIPPED, f"The previous run of {entry.name} is still in progress.")
                _say(entry.name, f"{SKIPPED}: the previous run is still in progress")

    def _start(self, run: Due, entry: Schedule) -> None:
        from prefect.states import Pending

        self.client.set_flow_run_state(run.id, Pending())
        log = self.project.log(f"schedule-{entry.name}")
        log.parent.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join(filter(None, [str(_CHECKOUT), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "flows.serve.flow", str(run.id), str(os.getpid())]
        with log.open("wb") as output:
            # A session of its own: Ctrl-C must only reach this process, which then ends its runs.
            process = subprocess.Popen(
                command,
                cwd=self.project.root,
                env=os.environ | {"PYTHONPATH": path},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.active[run.id] = entry.name, process
        _say(entry.name, f"{entry.command}, log: {log}")

    def _note_end(self, identity: UUID, name: str) -> None:
        """Prints the final state of a run whose process has ended. If the run has no final state, it is closed."""
        del self.active[identity]
        state = self.client.read_flow_run(identity).state
        if state is None or not state.is_final():
            server.close_run(self.client, identity)
            state = self.client.read_flow_run(identity).state
        _say(name, f"{state.name}: {state.message}" if state.message else state.name)

    def _end(self, identities: Sequence[UUID], state: str, message: str) -> None:
        """Ends runs and all their processes: first with SIGINT, then with SIGKILL."""
        ending = {identity: self.active[identity] for identity in identities}
        for _, process in ending.values():
            _signal(process, signal.SIGINT)
        deadline = time.monotonic() + GRACE_SECONDS
        for identity, (name, process) in ending.items():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            _signal(process, signal.SIGKILL)
            process.wait()
            del self.active[identity]
            self._cancel(identity, state, message)
            _say(name, state)

    def _cancel(self, identity: UUID, name: str, message: str) -> None:
        from prefect.states import Cancelled

        self.client.set_flow_run_state(identity, Cancelled(name=name, message=message), force=True)

    def _reread(self) -> None:
        """Reads the schedules again if params.yaml has changed."""
        if (now := _modified(self.project)) == self._read_at:
            return
        self._read_at = now
        try:
            entries = schedules.read(self.project.reread().parameters)
        except params.ParameterError as error:
            print(f"covey: {error} The schedules stay as they were.", file=sys.stderr)
            return
        if entries != self.entries:
            self.entries = entries
            self.register()
            print("The schedules of params.yaml have changed:")
            tell_schedules(entries)


def _deployment(entry: Schedule) -> Any:
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.serve.flow import refresh

    return refresh.to_deployment(
        entry.name,
        schedule=Cron(entry.cron, timezone=entry.timezone),
        paused=entry.paused,
        parameters={"schedule": entry.name},
        description=f"`{entry.command}`, as params.yaml has it under schedules.{entry.name}",
        tags=[TAG],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )


def _modified(project: Project) -> int:
    return (project.root / "params.yaml").stat().st_mtime_ns


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _say(name: str, text: str) -> None:
    print(f"{datetime.now():%a %H:%M:%S}  {name}: {text}", flush=True)


def tell_schedules(entries: Mapping[str, Schedule]) -> None:
    """Prints each schedule with its next time."""
    for entry in entries.values():
        when = "paused" if entry.paused else f"next on {next_time(entry):%a %d %b %Y, %H:%M %Z}"
        print(f"{entry.name:10} {entry.cron:14} {entry.command}, {when}", flush=True)


def next_time(entry: Schedule) -> datetime:
    """The next time of a schedule, in its time zone, as Prefect computes it."""
    import asyncio

    from prefect.server.schemas.schedules import CronSchedule

    schedule = CronSchedule(cron=entry.cron, timezone=entry.timezone)
    dates: list[datetime] = asyncio.run(schedule.get_dates(1))
    return dates[0]
