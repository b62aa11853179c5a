"""What `covey run` does: decide, look at the settings, bring up to date beside the servers, and tell how it ended."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.prefect_server import server
from flows.run import plan, retries
from tasks.project import paths
from tasks.reporting import regressions
from tasks.selection import scope
from tasks.settings import params
from tasks.staleness import graph
from tasks.tracking import stage_run

if TYPE_CHECKING:
    from flows.run.flow import Outcome

FAILED, REGRESSED = 1, 4
TAIL_LINES = 15
Where = tuple[str, str | None]
HERE: Where = ("local", None)


@dataclass(frozen=True)
class Ending:
    """How a run ended: what became of its stages, and the numbers that are worse than published, in words."""

    outcome: Outcome
    worse: tuple[str, ...]
    seconds: float

    @property
    def code(self) -> int:
        """The exit code of `covey run`."""
        return FAILED if self.outcome.failures else REGRESSED if self.worse else 0


def prepare(root: Path, targets: list[str], data: str | None, force: bool) -> plan.Plan | None:
    """The plan, after a look at all settings that it touches; None where there is nothing to do."""
    if data is not None:
        print(f"Data set: {data}")
    parameters = params.load(root)
    retries.read(parameters)
    work = plan.make(root, targets, scope=scope.scope(parameters), force=force)
    if not work.names:
        stage_run.close_dead(root)
        print(f"Nothing is stale: {work.scope} stages are up to date.{others(parameters)}")
        return None
    graph.check(root, work.names)
    return work


def carry_out(
    root: Path, targets: list[str], jobs: int | None, force: bool, work: plan.Plan, where: Where = HERE
) -> Ending:
    """Runs a plan and tells how it ended. where: the engine and the scheduler, as `engine.opened` takes them."""
    print(f"{len(work.names)} of {_stages(work.scope)} to run.", flush=True)
    begin = time.monotonic()
    outcome = _bring_up_to_date(root, targets, jobs, force, work, where)
    compared = regressions.of_results(root, params.load(root)) if "report" in outcome.ended else []
    worse = tuple(f"{each.data}: {regression.text}" for each in compared for regression in each.worse)
    ending = Ending(outcome, worse, time.monotonic() - begin)
    _tell(root, ending)
    for comparison in compared:
        if comparison.note:
            print(comparison.note)
    for line in worse:
        print(f"regression: {line}", file=sys.stderr)
    return ending


def others(parameters: Mapping[str, Any]) -> str:
    """ " 30 more runs with --runs all.", where some are not selected."""
    found = ""
    for axis in scope.AXES:
        left = len(scope.members(parameters, axis)) - len(scope.chosen(parameters, axis))
        if left:
            found += f" {left} more {axis.member}{'s' * (left > 1)} with --{axis.line} all."
    return found


def _bring_up_to_date(
    root: Path, targets: list[str], jobs: int | None, force: bool, work: plan.Plan, where: Where
) -> Outcome:
    """Runs the flow beside a Prefect server and a fork server, which start while prefect is imported."""
    from tasks.stage import fork_server

    with fork_server.running(root) as environment, server.running(root) as prefect:
        os.environ.update(environment)
        from flows.run.engine import opened
        from flows.run.flow import PipelineFailed, bring_up_to_date

        with opened(root, work, *where) as engine:
            prefect.wait_until_up()
            try:
                return bring_up_to_date(root, targets, jobs, force, list(work.names), engine)
            except PipelineFailed as failed:
                return failed.outcome


def _stages(count: int) -> str:
    return f"{count} stage{'s' * (count != 1)}"


def _tell(root: Path, ending: Ending) -> None:
    """Prints how a run ended; of a stage that failed its name, its log and the log's end."""
    from flows.run.progress import duration
    from tasks.report import terminal_table

    outcome = ending.outcome
    for name, because in outcome.skipped.items():
        print(f"skipped  {name} because of {because}")
    if not outcome.failures:
        print(f"{_stages(len(outcome.ended))} done in {duration(ending.seconds)}.")
        if "report" in outcome.ended:
            print(f"\n{terminal_table(root)}\n\nReport: {root / paths.REPORT}")
        else:
            print("The report is as it was; `covey run report` brings it up to date.")
        return
    for failure in outcome.failures:
        attempts = f"{failure.attempts} attempt{'s' * (failure.attempts > 1)}"
        print(f"\n{failure.reason}, after {attempts}. The end of its log:", file=sys.stderr)
        for line in failure.tail.splitlines()[-TAIL_LINES:]:
            print(f"    {line}", file=sys.stderr)
        print(f"The whole log: {failure.log}", file=sys.stderr)
