"""What `covey run` does: plans, checks the settings, starts the servers, runs the flow, and prints the result."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flows.errors import FAILED, REGRESSED
from flows.prefect_server import loss, server
from flows.run import estimate, plan, report
from flows.run.engine import Engine, Local
from flows.run.jobs import Outcome
from tasks.process import collector, disks
from tasks.process.duration import duration
from tasks.project import paths
from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings import retries
from tasks.settings.schema import ParameterError, unknown
from tasks.stage import fork_server
from tasks.stage.apart import call
from tasks.staleness import dvc_internals, lock_file
from tasks.tracking import pipeline_run
from tasks.tracking.server import running

LOCAL, DASK = "local", "dask"
SCHEDULER = "DASK_SCHEDULER_ADDRESS"
TAIL_LINES = 15


@dataclass(frozen=True)
class Ending:
    """The result of a run. worse: the scores that are worse than the published ones, in words."""

    outcome: Outcome
    worse: tuple[str, ...]
    seconds: float

    @property
    def code(self) -> int:
        """The exit code of `covey run`."""
        return FAILED if self.outcome.failures else REGRESSED if self.worse else 0


@dataclass(frozen=True)
class Asked:
    """The options of `covey run`. engine: `local` or `dask`. scheduler: the address of the Dask scheduler."""

    targets: tuple[str, ...] = ()
    jobs: int | None = None
    force: bool = False
    engine: str = LOCAL
    scheduler: str | None = None


def tell_of_data(project: Project) -> None:
    """Prints what the selected data set is taken for, where its reader tells. Raises ParameterError if it cannot be."""
    from tasks.settings import readers

    block = project.parameters["data"]
    try:
        line = readers.told(project.root, block, project.parameters["seed"])
    except (OSError, ValueError, ImportError) as error:  # without pyarrow
        raise ParameterError(f"datasets.{block['name']}: {error}") from None
    if line:
        print(line)


def run(project: Project, asked: Asked) -> Ending | None:
    """Brings the project up to date and prints the result. Returns None if nothing was stale.

    Raises:
        ParameterError: a setting, or MLflow's records, cannot be used.
    """
    pipeline_run.refuse_unusable(project)
    retries.read(project.parameters)
    work = plan.make(project, asked.targets, force=asked.force)
    project.forget_finished(except_for=work.names)
    if not work.names:
        if running(project):
            pipeline_run.close_dead(project)
        print(f"Nothing is stale: {work.scope} stages are up to date.{others(project.parameters)}")
        return None
    if asked.engine == LOCAL and dvc_internals.usable():
        lock_file.require_form(project.root / paths.LOCK)
    disks.require_room(project.root, project.state)
    begin = time.monotonic()
    outcome = _bring_up_to_date(project, asked, work, begin)
    compared = []
    if plan.REPORT in outcome.ended:
        from tasks.reporting import regressions

        compared = regressions.of_results(project)
    worse = tuple(f"{each.data}: {regression.text}" for each in compared for regression in each.worse)
    ending = Ending(outcome, worse, time.monotonic() - begin)
    _tell(project, ending)
    for comparison in compared:
        if comparison.note:
            print(comparison.note)
    for line in worse:
        print(f"regression: {line}", file=sys.stderr)
    return ending


def others(parameters: Mapping[str, Any]) -> str:
    """A hint at what is not selected: " 30 more runs with --runs all."."""
    found = ""
    for axis in scope.AXES:
        left = len(scope.members(parameters, axis)) - len(scope.chosen(parameters, axis))
        if left:
            found += f" {left} more {axis.member}{'s' * (left > 1)} with --{axis.line} all."
    return found


def _bring_up_to_date(project: Project, asked: Asked, work: plan.Plan, begin: float) -> Outcome:
    """Checks the settings of all planned stages, then runs the flow with a Prefect server and a fork server.

    The servers start while Prefect is imported.
    """
    trains = any(work.graph[name].kind == "train" for name in work.names)
    with fork_server.running(project, trains=trains) as environment, server.running(project) as prefect:
        os.environ.update(environment)
        with collector.importing():
            from flows.run.flow import PipelineFailed, bring_up_to_date

        sizes = call(project, "tasks.checks.dry_run:check_stages", list(work.names))
        expected = estimate.of_run(project, work, asked.jobs, sizes or {})
        print(f"{len(work.names)} of {_stages(work.scope)} to run{expected}", flush=True)
        with _engine(project, asked, work) as engine:
            prefect.wait_until_up()
            estimate.note_start(project, time.monotonic() - begin)
            try:
                with loss.watched(prefect):
                    outcome: Outcome = bring_up_to_date(project, work, asked.jobs, engine)
            except PipelineFailed as failed:
                report.make_of_what_there_is(project, failed.outcome)
                return failed.outcome
        return outcome


@contextmanager
def _engine(project: Project, asked: Asked, work: plan.Plan) -> Iterator[Engine]:
    """What runs the stages.

    Raises:
        ParameterError: a cluster that cannot be used (see `flows.dask.engine.joined`).
    """
    if asked.engine == LOCAL:
        yield Local(project)
        return
    from flows.dask.engine import joined

    with joined(project, work, scheduler_of(asked.engine, asked.scheduler)) as workers:
        yield workers


def scheduler_of(engine: str, scheduler: str | None) -> str:
    """The address of the Dask scheduler; empty for the engine `local`. Raises ParameterError if they conflict."""
    if engine not in (LOCAL, DASK):
        raise unknown("engine", engine, (LOCAL, DASK), "--engine")
    if engine == LOCAL:
        if scheduler:
            raise ParameterError(f"--scheduler needs --engine dask: `--engine dask --scheduler {scheduler}`.")
        return ""
    address = scheduler or os.environ.get(SCHEDULER)
    if not address:
        raise ParameterError(
            "--engine dask needs a scheduler: start one with `dask scheduler`, and pass the address that it prints to "
            "--scheduler."
        )
    return address


def _stages(count: int) -> str:
    return f"{count} stage{'s' * (count != 1)}"


def _tell(project: Project, ending: Ending) -> None:
    """Prints the result of a run, the end of the log of each failed stage, and the table if the report was made."""
    outcome = ending.outcome
    for name, because in outcome.skipped.items():
        print(f"skipped  {name} because of {because}")
    for failure in outcome.failures:
        attempts = f"{failure.attempts} attempt{'s' * (failure.attempts > 1)}"
        print(f"\n{failure.reason}, after {attempts}. The end of its log:", file=sys.stderr)
        for line in failure.tail.splitlines()[-TAIL_LINES:]:
            print(f"    {line}", file=sys.stderr)
        print(f"The whole log: {failure.log}", file=sys.stderr)
    if not outcome.failures:
        print(f"{_stages(len(outcome.ended))} done in {duration(ending.seconds)}.")
    print(report.after_run(project, outcome))
