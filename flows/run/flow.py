"""The Prefect flow that brings the pipeline up to date: one task for each job, with retries that depend on its kind.

DVC decides what is stale (tasks/staleness/status.py), Prefect decides when a stage runs and how often, and MLflow keeps
the records (tasks/tracking/stage_run.py).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from flows import errors
from flows.prefect_server import loss, server
from flows.run import plan, records
from flows.run.engine import Engine
from flows.run.jobs import Ended, Job, Jobs, Outcome
from flows.run.progress import Progress
from tasks.process import stopping
from tasks.process.command import GRACE_SECONDS, end_groups
from tasks.project.project import Project
from tasks.settings import retries

# `covey` reports a failed job itself; Prefect would print a traceback of its own engine.
for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

FLOW_NAME = "covey"
Result = TypeVar("Result")


class PipelineFailed(RuntimeError):
    """A stage failed for good; `outcome` tells what became of all stages."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"failed: {', '.join(failure.name for failure in outcome.failures)}")
        self.outcome = outcome


def bring_up_to_date(project: Project, work: plan.Plan, jobs: int | None, engine: Engine) -> Outcome:
    """Runs the stages of a plan, as a flow of Prefect.

    Args:
        jobs: how many stages may run at once; None for as many as fit the cores and GPUs.

    Raises:
        PipelineFailed: a stage failed for good. Its descendants were skipped; all other stages have ended.
    """
    outcome: Outcome = covey(list(work.targets), jobs, lambda: _run(project, work, jobs, engine))
    return outcome


@flow(  # type: ignore[untyped-decorator]
    name=FLOW_NAME,
    # One thread for each job: with fewer, jobs that wait for a parent could block it (prefect #14143).
    task_runner=ThreadPoolTaskRunner(),
    persist_result=False,
    validate_parameters=False,
)
def covey(targets: list[str], jobs: int | None, body: Any) -> Outcome:  # noqa: ARG001
    """Calls `body`. Prefect stores the other two arguments with the run.

    The body is a function because Prefect cannot store functions. It stores all other arguments and refuses more than
    512 KB, which the plan of a large project exceeds.
    """
    outcome: Outcome = to_its_end(body)
    return outcome


def to_its_end(body: Callable[[], Result]) -> Result:
    """Calls the body of a flow. After an interrupt, this process ends soon, even if Prefect waits for its threads.

    Within the block, TERM is obeyed as Covey does it: Prefect has put a handler of its own. When the body has raised,
    all records are closed, and what is left of the process are Prefect's own ends. A thread of Prefect that sleeps
    before a retry cannot be woken.
    """
    with stopping.obeyed():
        try:
            return body()
        except KeyboardInterrupt:
            # Without its server Prefect has nothing more to do, though it tries.
            last_resort = threading.Timer(1.0 if loss.lost() else GRACE_SECONDS, _leave)
            last_resort.daemon = True
            last_resort.start()
            raise


def _leave() -> None:
    """Ends this process at once; the servers that it has started end with it."""
    lost = loss.lost()
    print(f"covey: {lost}" if lost else errors.STOPPED, file=sys.stderr, flush=True)
    os._exit(errors.FAILED if lost else stopping.exit_code(stopping.told() or signal.SIGINT))


def _run(project: Project, work: plan.Plan, jobs: int | None, engine: Engine) -> Outcome:
    policies = retries.read(project.parameters)
    slots = engine.slots(project.parameters["machine"], jobs)
    with (
        _tracked(project, work.targets) as environment,
        Progress(len(work.names), Console()) as progress,
    ):
        server.claim_run(str(runtime.flow_run.id))
        outcome = run_jobs(Jobs(stage_jobs(project, work, policies, engine, environment), slots, progress))
        if outcome.failures:
            raise PipelineFailed(outcome)
    return outcome


def stage_jobs(
    project: Project,
    work: plan.Plan,
    policies: Mapping[str, retries.Policy],
    engine: Engine,
    environment: Mapping[str, str],
) -> list[Job]:
    """A job for each stage of the plan."""
    priorities = plan.priorities(work, {kind: policies[kind].weight for kind in policies})

    def job(name: str) -> Job:
        stage = work.graph[name]
        policy = policies[stage.kind]

        def attempt(number: int, place: Mapping[str, str]) -> Ended:
            # Forcing deletes checkpoints, and a second attempt continues from them.
            force = name in work.forced and number == 1
            return engine.reproduce(name, timeout=policy.timeout, environment={**environment, **place}, force=force)

        log, device = project.log(name), name in work.on_device
        return Job(name, stage.kind, stage.parents, policy, priorities[name], log, attempt, device)

    return [job(name) for name in work.names]


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)  # type: ignore[untyped-decorator]
def attempt(name: str, jobs: Jobs) -> str:
    """One job. Prefect starts it once all its parents have succeeded, and again if it fails."""
    return jobs.attempt(name)


def submit(jobs: Jobs) -> list[PrefectFuture[str]]:
    """Submits every job to Prefect, as a task that waits for its parents."""
    futures: dict[str, PrefectFuture[str]] = {}
    for name, job in jobs.jobs.items():

        def may_retry(*_: Any, name: str = name) -> bool:
            return jobs.may_retry(name)

        futures[name] = attempt.with_options(
            name=job.kind,
            retries=job.policy.retries,
            retry_delay_seconds=job.policy.retry_delay,
            retry_condition_fn=may_retry,
            tags=[f"kind:{job.kind}"],
        ).submit(name, jobs, wait_for=[futures[parent] for parent in job.parents if parent in futures])
    return list(futures.values())


def run_jobs(jobs: Jobs) -> Outcome:
    """Starts the jobs and waits for all of them. On an interrupt, it ends their processes before it raises."""
    futures: Sequence[Any] = ()
    try:
        futures = submit(jobs)
        for future in futures:
            future.wait()
    except BaseException:
        jobs.slots.close()
        end_groups()
        raise
    return jobs.outcome()


@contextmanager
def _tracked(project: Project, targets: Sequence[str]) -> Iterator[dict[str, str]]:
    """Opens an MLflow run, the parent of all stages, for the block. Yields the environment that tells stages of it."""
    flow_run = str(runtime.flow_run.id)
    tags = {"prefect_run": flow_run, "prefect_name": runtime.flow_run.name}
    with records.opened(project, " ".join(targets) or "everything", tags) as parent:
        yield {"COVEY_PREFECT_RUN": flow_run, "COVEY_PARENT_RUN": parent, "COVEY_FLOW_PID": str(os.getpid())}
