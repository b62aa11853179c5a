"""The Prefect flow of a sweep. Each point is a job (flows/run/jobs.py) and a DVC experiment."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from prefect import flow, runtime
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from flows.prefect_server import server
from flows.run import records
from flows.run.flow import run_jobs, to_its_end
from flows.run.jobs import Ended, Failure, Job, Jobs
from flows.run.progress import Progress
from flows.run.slots import of_machine
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.retries import Policy
from tasks.sweeps import experiments, results
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Sweep
from tasks.tracking.server import local_uri

POLICY = Policy(retries=1, retry_delay=5.0)
CHECKPOINTS = "sweeps/work"
"""The folder in .covey with the checkpoints of all points. Points with equal stages share them."""


@dataclass
class Ending:
    """The result of a run of points. done: the record of each point that succeeded, by its key."""

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()


class PointsFailed(RuntimeError):
    """A point failed for good."""


class Points:
    """What the points of one run share.

    baselines: name of a sweep -> the commit that its experiments start from. parents: name -> its MLflow run.
    """

    def __init__(
        self,
        project: Project,
        environment: Mapping[str, str],
        baselines: Mapping[str, str],
        parents: Mapping[str, str],
    ) -> None:
        self._project, self._environment = project, environment
        self._baselines, self._parents = baselines, parents
        self.done: dict[str, dict[str, Any]] = {}
        self._free: list[int] = []
        self._copies = 0
        self._alone = threading.Lock()

    def job(self, point: Point) -> Job:
        """The job that runs a point."""

        def attempt(_number: int, place: Mapping[str, str]) -> Ended:
            with self._copy() as number:
                self._run(point, number, place)
            return Ended("ran")

        log = self._project.log(experiments.log_name(point))
        return Job(f"{point.sweep}: {point}", "train", (), POLICY, 0.0, log, attempt, device=True)

    @contextmanager
    def _copy(self) -> Iterator[int]:
        """Reserves a copy of the project for the block. Yields the number of the copy."""
        with self._alone:
            if not self._free:
                self._free.append(self._copies)
                self._copies += 1
            number = self._free.pop()
        try:
            yield number
        finally:
            with self._alone:
                self._free.append(number)

    def _run(self, point: Point, number: int, place: Mapping[str, str]) -> None:
        project = self._project
        tags = {"mlflow.parentRunId": self._parents[point.sweep], "covey.sweep": point.sweep}
        with records.opened(project, point.name, tags) as run_id:
            copy = experiments.copy(project, number, self._baselines[point.sweep])
            environment = {**self._environment, **place, "COVEY_PARENT_RUN": run_id}
            seconds = experiments.run(project, copy, point, environment)
            with self._alone:
                revision = experiments.bring_home(project, copy, point)
            record = results.file(project, point, experiments.metrics(project, revision), seconds, revision)
            numbers = {
                f"{score['run']}.{score['protocol']}.{score['metric']}.{score['layer'] or 'all'}": float(score["value"])
                for score in record["scores"]
            }
            records.describe(project, run_id, {**point.settings, "seed": point.seed}, numbers)
        self.done[point.key] = record


def run_sweeps(
    project: Project, sweeps: Sequence[Sweep], points: Sequence[Point], jobs: int | None, environment: Mapping[str, str]
) -> Ending:
    """Runs points as a flow of Prefect. If a point fails, the others still run."""
    names = [sweep.name for sweep in sweeps]
    ending: Ending = covey_sweep(names, jobs, lambda: _run(project, sweeps, points, jobs, environment))
    return ending


@flow(  # type: ignore[untyped-decorator]
    name="covey-sweep", task_runner=ThreadPoolTaskRunner(), persist_result=False, validate_parameters=False
)
def covey_sweep(sweeps: list[str], jobs: int | None, body: Any) -> Ending:  # noqa: ARG001
    """What Prefect keeps of a run: its first two arguments. body: as in `flows.run.flow.covey`."""
    ending: Ending = to_its_end(body)
    return ending


def _run(
    project: Project, sweeps: Sequence[Sweep], points: Sequence[Point], jobs: int | None, environment: Mapping[str, str]
) -> Ending:
    flow_run = str(runtime.flow_run.id)
    server.claim_run(flow_run)
    slots = of_machine(max((s.parameters["machine"] for s in sweeps), key=lambda m: m.get("threads", 1)), jobs)
    checkpoints = project.state / CHECKPOINTS
    shared = {
        **environment,
        paths.WORK: str(checkpoints.resolve()),
        "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI") or local_uri(project),
        "COVEY_PREFECT_RUN": flow_run,
    }
    with suppress(PointsFailed), Progress(len(points), Console()) as progress, ExitStack() as open_runs:
        baselines = {sweep.name: experiments.baseline(project, sweep) for sweep in sweeps}
        parents = {
            sweep.name: open_runs.enter_context(
                records.opened(project, f"sweep {sweep.name}", {"prefect_run": flow_run})
            )
            for sweep in sweeps
        }
        work = Points(project, shared, baselines, parents)
        outcome = run_jobs(Jobs([work.job(point) for point in points], slots, progress))
        if outcome.failures:
            raise PointsFailed  # so that the sweep's own run of MLflow ends as FAILED
    if not outcome.failures:  # only failed points need their checkpoints
        shutil.rmtree(checkpoints, ignore_errors=True)
    return Ending(work.done, outcome.failures)
