"""The flow of sweeps: a Prefect task a point, each a DVC experiment, as many at once as the machine allows."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from flows.prefect_server import server
from flows.run.flow import carry_out
from flows.run.progress import Progress
from flows.run.slots import Gate, of_machine
from tasks.project import paths
from tasks.sweeps import experiments, results
from tasks.sweeps.points import Point
from tasks.sweeps.sweep import Sweep
from tasks.tracking import server as mlflow_store
from tasks.tracking import stage_run

RETRIES, RETRY_DELAY = 1, 5.0
CHECKPOINTS = "sweeps/work"
"""In .covey: where the stages of all points keep their checkpoints, so that equal ones find each other's."""


@dataclass
class Ending:
    """What became of the points that were to run: records by key, and of those that failed why and the log, by key."""

    done: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: dict[str, tuple[Point, str, Path]] = field(default_factory=dict)


class Work:
    """What the points of one run share. (No dataclass: Prefect looks into those for futures.)

    baselines, parents: of each sweep by its name, the commit to start from and the MLflow run to hang under.
    """

    def __init__(self, root: Path, gate: Gate, progress: Progress, environment: Mapping[str, str]) -> None:
        self.root, self.gate, self.progress, self.environment = root, gate, progress, environment
        self.baselines: dict[str, str] = {}
        self.parents: dict[str, str] = {}
        self.ending = Ending()
        self.hopeless: set[str] = set()
        self._free: list[int] = []
        self._copies = 0
        self._alone = threading.Lock()

    def run(self, point: Point) -> None:
        """One attempt at one point, once there is a place for it. Raises what made it fail."""
        title = f"{point.sweep}: {point}"
        with self.gate.hold("train") as device, self._copy() as number:
            self.progress.start(title)
            try:
                self._run(point, number, {} if device is None else {"CUDA_VISIBLE_DEVICES": device})
            except BaseException as error:
                if getattr(error, "final", False):
                    self.hopeless.add(point.key)
                log = paths.log_file(self.root, experiments.log_name(point))
                self.ending.failed[point.key] = (point, str(error), log)
                self.progress.failed(title, None)
                raise
        self.ending.failed.pop(point.key, None)
        self.progress.done(title, "ran")

    @contextmanager
    def _copy(self) -> Iterator[int]:
        """The number of a copy of the project that nobody else is in."""
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

    def _run(self, point: Point, number: int, device: Mapping[str, str]) -> None:
        with self._recorded(point) as run_id:
            place = experiments.copy(self.root, number, self.baselines[point.sweep])
            environment = {**self.environment, **device, "COVEY_PARENT_RUN": run_id}
            seconds = experiments.run(self.root, place, point, environment)
            with self._alone:
                revision = experiments.bring_home(self.root, place, point)
            record = results.file(self.root, point, experiments.metrics(self.root, revision), seconds, revision)
            numbers = {
                f"{score['run']}.{score['protocol']}.{score['metric']}.{score['layer'] or 'all'}": float(score["value"])
                for score in record["scores"]
            }
            stage_run.describe(self.root, run_id, {**point.settings, "seed": point.seed}, numbers)
        self.ending.done[point.key] = record

    @contextmanager
    def _recorded(self, point: Point) -> Iterator[str]:
        """An MLflow run for the point, under its sweep's."""
        tags = {"mlflow.parentRunId": self.parents[point.sweep], "covey.sweep": point.sweep}
        run_id = stage_run.start_pipeline_run(self.root, point.name, tags)
        status = "FAILED"
        try:
            yield run_id
            status = "FINISHED"
        finally:
            stage_run.finish_pipeline_run(self.root, run_id, status)


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)  # type: ignore[untyped-decorator]
def run_point(name: str, point: Point, work: Work) -> None:  # noqa: ARG001 - the name is Prefect's
    """One point."""
    work.run(point)


def submit(work: Work, points: Sequence[Point]) -> list[PrefectFuture[None]]:
    """Hands every point to Prefect; none waits for another."""

    def start(point: Point) -> PrefectFuture[None]:
        def may_retry(*_: Any) -> bool:
            return not work.gate.closed and point.key not in work.hopeless

        options = run_point.with_options(
            name="point", retries=RETRIES, retry_delay_seconds=RETRY_DELAY, retry_condition_fn=may_retry
        )
        return options.submit(f"{point.sweep}: {point}", point, work)  # type: ignore[no-any-return]

    return [start(point) for point in points]


@flow(  # type: ignore[untyped-decorator]
    name="covey-sweep", task_runner=ThreadPoolTaskRunner(), persist_result=False, validate_parameters=False
)
def run_sweeps(
    root: Path, sweeps: Sequence[Sweep], points: Sequence[Point], jobs: int | None, environment: Mapping[str, str]
) -> Ending:
    """Runs points of some sweeps, side by side; one that fails leaves the others alone."""
    server.claim_run(str(runtime.flow_run.id))
    stage_run.initialise(root)
    stage_run.close_dead(root)
    gate = of_machine(max((s.parameters["machine"] for s in sweeps), key=lambda m: m.get("threads", 1)), jobs)
    checkpoints = paths.covey_folder(root.resolve()) / CHECKPOINTS
    shared = {
        **environment,
        paths.WORK: str(checkpoints),
        "MLFLOW_TRACKING_URI": os.environ.get("MLFLOW_TRACKING_URI") or mlflow_store.local_uri(root),
        "COVEY_PREFECT_RUN": str(runtime.flow_run.id),
    }
    with Progress(root, len(points), Console()) as progress:
        work = Work(root, gate, progress, shared)
        status = "KILLED"
        try:
            for sweep in sweeps:
                work.baselines[sweep.name] = experiments.baseline(root, sweep)
                tags = {"prefect_run": str(runtime.flow_run.id)}
                work.parents[sweep.name] = stage_run.start_pipeline_run(root, f"sweep {sweep.name}", tags)
            carry_out(lambda: submit(work, points), gate.close)
            status = "FAILED" if work.ending.failed else "FINISHED"
        finally:
            for parent in work.parents.values():
                stage_run.finish_pipeline_run(root, parent, status)
    if not work.ending.failed:  # checkpoints are wanted only where something is to go on
        shutil.rmtree(checkpoints, ignore_errors=True)
    return work.ending
