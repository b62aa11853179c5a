"""The flow that brings the pipeline up to date: a Prefect task a job, with retries by kind and a place for each.

DVC says what is stale (tasks/staleness/status.py), Prefect when and how often, MLflow remembers
(tasks/tracking/stage_run.py).
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.task_runners import ThreadPoolTaskRunner
from rich.console import Console

from flows.prefect_server import server
from flows.run import plan, records, retries
from flows.run.engine import Engine
from flows.run.jobs import Ended, Job, Jobs, Outcome
from flows.run.progress import Progress
from tasks.process.command import GRACE_SECONDS, end_groups
from tasks.project.project import Project

# A job that failed is told of by `covey` itself, in fewer words than Prefect's trace of its own engine.
for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

FLOW_NAME = "covey"


class PipelineFailed(RuntimeError):
    """Raised at the end of a run in which a stage failed for good; carries the outcome."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"failed: {', '.join(failure.name for failure in outcome.failures)}")
        self.outcome = outcome


@flow(  # type: ignore[untyped-decorator]
    name=FLOW_NAME,
    # A thread for every job, however many: with fewer, those that wait for a parent could keep it out (#14143).
    task_runner=ThreadPoolTaskRunner(),
    persist_result=False,
    validate_parameters=False,
)
def bring_up_to_date(project: Any, work: Any, jobs: int | None, engine: Any) -> Outcome:
    """Runs the stages of a plan.

    Args:
        project, work, engine: a Project, a Plan and an Engine; Prefect would make schemas of these types.
        jobs: how many stages may work at once; as many as cores and GPUs allow where it is None.

    Raises:
        PipelineFailed: a stage failed for good. Its descendants were left out, all others have ended.
    """
    policies = retries.read(project.parameters)
    slots = engine.slots(project.parameters["machine"], jobs)
    with (
        _tracked(project, work.targets) as environment,
        Progress(len(work.names), Console()) as progress,
    ):
        server.claim_run(str(runtime.flow_run.id))
        outcome = carry_out(Jobs(stage_jobs(project, work, policies, engine, environment), slots, progress))
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
            # Forcing drops checkpoints, which a second attempt wants to go on from.
            force = name in work.forced and number == 1
            return engine.reproduce(name, timeout=policy.timeout, environment={**environment, **place}, force=force)

        return Job(name, stage.kind, stage.parents, policy, priorities[name], project.log(name), attempt)

    return [job(name) for name in work.names]


@task(task_run_name="{name}", cache_policy=NO_CACHE, persist_result=False)  # type: ignore[untyped-decorator]
def attempt(name: str, jobs: Jobs) -> str:
    """One job. Prefect starts it once its parents have ended well, and again where it failed."""
    return jobs.attempt(name)


def submit(jobs: Jobs) -> list[PrefectFuture[str]]:
    """Hands every job to Prefect, as a task of its kind that waits for its parents."""
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


def carry_out(jobs: Jobs) -> Outcome:
    """Starts the jobs and waits for all of them; when interrupted, ends their processes before it passes that on."""
    futures: Sequence[Any] = ()
    try:
        futures = submit(jobs)
        for future in futures:
            future.wait()
    except BaseException:
        jobs.slots.close()
        # A thread that sleeps before a retry cannot be woken: leave it behind rather than wait for it.
        last_resort = threading.Timer(2 * GRACE_SECONDS, os._exit, (130,))
        last_resort.daemon = True
        last_resort.start()
        end_groups()
        raise
    return jobs.outcome()


@contextmanager
def _tracked(project: Project, targets: Sequence[str]) -> Iterator[dict[str, str]]:
    """Opens this run's parent in MLflow, yields the environment of its stages, and closes the parent as it ended."""
    flow_run = str(runtime.flow_run.id)
    tags = {"prefect_run": flow_run, "prefect_name": runtime.flow_run.name}
    with records.opened(project, " ".join(targets) or "everything", tags) as parent:
        yield {"COVEY_PREFECT_RUN": flow_run, "COVEY_PARENT_RUN": parent, "COVEY_FLOW_PID": str(os.getpid())}
