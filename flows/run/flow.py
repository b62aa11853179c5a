"""The flow that brings the pipeline up to date: a Prefect task a stage, with retries by kind and a gate inside.

DVC says what is stale (tasks/staleness/graph.py), Prefect when and how often, MLflow remembers (tasks/tracking/stage_run.py).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from flows.run import plan, retries
from flows.run.children import GRACE_SECONDS, end_children, living_children
from flows.run.engine import Engine, Local
from flows.run.progress import Progress
from flows.run.slots import Gate
from tasks.project import paths
from tasks.selection import scope
from tasks.settings import params
from tasks.stage import restored
from tasks.staleness import graph
from tasks.tracking import stage_run

# A failed stage is told of by this module, in fewer words than Prefect's trace of its own engine.
for engine in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(engine).setLevel(logging.CRITICAL)

FLOW_NAME = "covey"


@dataclass(frozen=True)
class Failure:
    """A stage whose last attempt failed: why, the end of its log, and where the whole of it lies."""

    name: str
    reason: str
    tail: str
    log: Path
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """What became of each planned stage: it ended (ran, unchanged, restored), failed, or was skipped because of one."""

    ended: Mapping[str, str]
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


class PipelineFailed(RuntimeError):
    """Raised at the end of a run in which a stage failed for good; carries the outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"failed: {', '.join(failure.name for failure in outcome.failures)}")
        self.outcome = outcome


class Run:
    """What the stages of one run share. (No dataclass: Prefect looks into those for futures.)"""

    def __init__(
        self,
        root: Path,
        work: plan.Plan,
        *,
        policies: Mapping[str, retries.Policy],
        gate: Gate,
        progress: Progress,
        environment: Mapping[str, str],
        parameters: Mapping[str, Any],
        engine: Engine | None = None,
    ) -> None:
        self.root = root
        self.engine = engine or Local(root)
        self.parameters = parameters
        self.work = work
        self.policies = policies
        self.gate = gate
        self.progress = progress
        self.environment = environment
        self.priorities = plan.priorities(work, {kind: policies[kind].weight for kind in policies})
        self.attempts = dict.fromkeys(work.names, 0)
        self.ended: dict[str, str] = {}
        self.failures: dict[str, Failure] = {}
        self.hopeless: set[str] = set()

    def bring(self, name: str) -> str:
        """One attempt at one stage, once there is a place for it; returns the outcome of the engine's `reproduce`.

        Raises:
            StageFailed: the attempt failed.
            GateClosed: the run is being stopped.
        """
        kind = self.work.graph[name].kind
        with self.gate.hold(kind, self.priorities[name]) as device:
            self.attempts[name] += 1
            self.progress.start(name)
            environment = dict(self.environment)
            if device is not None:
                environment["CUDA_VISIBLE_DEVICES"] = device
            try:
                ended = self.engine.reproduce(
                    name,
                    timeout=self.policies[kind].timeout,
                    environment=environment,
                    # Forcing drops checkpoints, which a second attempt wants to go on from.
                    force=name in self.work.forced and self.attempts[name] == 1,
                )
            except BaseException as error:
                self._note_failure(name, error)
                raise
        # A worker's record is not in this project's MLflow, unless both write to one server: then that one stands.
        settled = "restored" if ended.worker else ended.outcome
        restored.settle(self.root, name, settled, self.parameters)
        self.ended[name] = ended.outcome
        self.failures.pop(name, None)
        self.progress.done(name, f"{ended.outcome} on {ended.worker}" if ended.worker else ended.outcome)
        return ended.outcome

    def may_retry(self, name: str) -> bool:
        """Not once the run is being stopped, nor a stage that would fail in the same way again."""
        return not self.gate.closed and name not in self.hopeless

    def _note_failure(self, name: str, error: BaseException) -> None:
        limits = self.policies[self.work.graph[name].kind]
        if isinstance(error, graph.StageFailed) and error.final:
            self.hopeless.add(name)
        again = self.may_retry(name) and self.attempts[name] <= limits.retries
        self.progress.failed(name, limits.retry_delay if again else None)
        if isinstance(error, graph.StageFailed):
            reason, tail, log = str(error), error.tail, error.log
        else:
            reason, tail, log = f"{name} could not be run", repr(error), paths.log_file(self.root, name)
        self.failures[name] = Failure(name, reason, tail, log, self.attempts[name])

    def stop(self) -> None:
        """Lets no further stage begin; an engine whose stages are elsewhere is told by its gate."""
        self.gate.close()

    def outcome(self) -> Outcome:
        """Reads off what became of every planned stage; call it when all have come to rest."""
        skipped: dict[str, str] = {}
        failures = dict(self.failures)
        for name in self.work.names:
            because = [parent for parent in self.work.graph[name].parents if parent in failures or parent in skipped]
            if name in self.ended or name in failures:
                continue
            if because:
                skipped[name] = skipped.get(because[0], because[0])
            else:  # something outside the stage broke: not to be taken for done
                log = paths.log_file(self.root, name)
                failures[name] = Failure(name, f"{name} was never run to its end", "", log, self.attempts[name])
        return Outcome(dict(self.ended), tuple(failures.values()), skipped)


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)  # type: ignore[untyped-decorator]
def bring(name: str, run: Run) -> str:
    """One stage. Prefect starts it once its parents have ended well, and again where it failed."""
    return run.bring(name)


def submit(run: Run) -> list[PrefectFuture[str]]:
    """Hands every planned stage to Prefect, as a task of its kind that waits for its parents."""
    futures: dict[str, PrefectFuture[str]] = {}

    for name in run.work.names:

        def may_retry(*_: Any, name: str = name) -> bool:
            return run.may_retry(name)

        stage = run.work.graph[name]
        limits = run.policies[stage.kind]

        futures[name] = bring.with_options(
            name=stage.kind,
            retries=limits.retries,
            retry_delay_seconds=limits.retry_delay,
            retry_condition_fn=may_retry,
            tags=[f"kind:{stage.kind}"],
        ).submit(name, run, wait_for=[futures[parent] for parent in stage.parents if parent in futures])
    return list(futures.values())


@flow(  # type: ignore[untyped-decorator]
    name=FLOW_NAME,
    # A thread for every stage, however many: with fewer, those that wait for a parent could keep it out (#14143).
    task_runner=ThreadPoolTaskRunner(),
    persist_result=False,
    validate_parameters=False,
)
def bring_up_to_date(
    root: Path,
    targets: Sequence[str] = (),
    jobs: int | None = None,
    force: bool = False,
    planned: Sequence[str] | None = None,
    engine: Any = None,
) -> Outcome:
    """Runs the stale stages among the targets and their ancestors, or the whole pipeline's.

    Args:
        root: the folder of dvc.yaml.
        targets: as in `plan.resolve`; all stages where there are none.
        jobs: how many stages may work at once; as many as cores and GPUs allow where it is None.
        force: run the targets, or everything, even where nothing has changed.
        planned: the stages, where the caller has just made the plan.
        engine: where they are worked on; on this machine where it is None.

    Raises:
        PipelineFailed: a stage failed for good. Its descendants were left out, all others have ended.
        ParameterError: a target, or something in params.yaml, cannot be used.
    """
    parameters = params.load(root)
    policies = retries.read(parameters)
    work = plan.make(root, targets, scope=scope.scope(parameters), force=force, known=planned)
    server.claim_run(str(runtime.flow_run.id))
    engine = engine or Local(root)
    gate = engine.gate(parameters["machine"], jobs)
    with (
        _tracked(root, targets) as environment,
        Progress(root, len(work.names), Console()) as progress,
    ):
        run = Run(
            root,
            work,
            policies=policies,
            gate=gate,
            progress=progress,
            environment=environment,
            parameters=parameters,
            engine=engine,
        )
        carry_out(lambda: submit(run), run.stop)
        outcome = run.outcome()
        if outcome.failures:
            raise PipelineFailed(outcome)
    return outcome


def carry_out(start: Callable[[], Sequence[Any]], stop: Callable[[], None]) -> None:
    """Starts the stages and waits for all of them; when interrupted, ends their processes before it passes that on."""
    bystanders = living_children()
    futures: Sequence[Any] = ()
    try:
        futures = start()
        for future in futures:
            future.wait()
    except BaseException:
        stop()
        # A thread that sleeps before a retry cannot be woken: leave it behind rather than wait for it.
        last_resort = threading.Timer(2 * GRACE_SECONDS, os._exit, (130,))
        last_resort.daemon = True
        last_resort.start()
        end_children(bystanders)
        raise


@contextmanager
def _tracked(root: Path, targets: Sequence[str]) -> Iterator[dict[str, str]]:
    """Opens this run's parent in MLflow, yields the environment of its stages, and closes the parent as it ended."""
    stage_run.initialise(root)
    stage_run.close_dead(root)
    flow_run = str(runtime.flow_run.id)
    name = " ".join(targets) or "everything"
    parent = stage_run.start_pipeline_run(root, name, {"prefect_run": flow_run, "prefect_name": runtime.flow_run.name})
    environment = {"COVEY_PREFECT_RUN": flow_run, "COVEY_PARENT_RUN": parent, "COVEY_FLOW_PID": str(os.getpid())}
    status = "KILLED"
    try:
        yield environment
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        stage_run.finish_pipeline_run(root, parent, status)
