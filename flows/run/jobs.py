"""The engine of every run: jobs, of which some wait for others, each attempted once there is a place for it.

A job is a stage of the pipeline, or a point of a sweep. What one does, and where, its maker says; here they are given
places, counted, told of and noted as failed. Prefect starts the attempts (flows/run/flow.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.run.progress import Progress
from flows.run.retries import Policy
from flows.run.slots import Slots
from tasks.settings.kinds import Kind

TAIL_LINES = 12


@dataclass(frozen=True)
class Ended:
    """A job that has come to its end.

    outcome: "ran", "unchanged" or "restored". worker: the name of the one that did it; empty for this machine.
    """

    outcome: str
    worker: str = ""

    def __str__(self) -> str:
        return f"{self.outcome} on {self.worker}" if self.worker else self.outcome


@dataclass(frozen=True)
class Job:
    """Something to be done, once.

    Attributes:
        name: unique, and shown.
        kind: by which Prefect's tasks are named, and which decides whether it needs a device.
        parents: names of jobs of the same run that must have ended well before.
        priority: of the jobs that wait for a place, that with the highest goes first.
        log: what it prints lies there.
        attempt: does it; given the number of the attempt, from 1, and environment variables of its place.
    """

    name: str
    kind: Kind
    parents: tuple[str, ...]
    policy: Policy
    priority: float
    log: Path
    attempt: Callable[[int, Mapping[str, str]], Ended]


@dataclass(frozen=True)
class Failure:
    """A job whose last attempt failed: why, the end of its log, and where the whole of it lies."""

    name: str
    reason: str
    tail: str
    log: Path
    attempts: int


@dataclass(frozen=True)
class Outcome:
    """What became of each job: it ended (ran, unchanged, restored), failed, or was skipped because of one that did."""

    ended: Mapping[str, str]
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)


class Jobs:
    """The jobs of one run at work. (No dataclass: Prefect looks into those for futures.) Parents come before children.

    Its methods may be called from any thread.
    """

    def __init__(self, jobs: Iterable[Job], slots: Slots, progress: Progress) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.slots, self.progress = slots, progress
        self._attempts = dict.fromkeys(self.jobs, 0)
        self._ended: dict[str, str] = {}
        self._failures: dict[str, Failure] = {}
        self._final: set[str] = set()

    def attempt(self, name: str) -> str:
        """One attempt at one job, once there is a place for it; returns its outcome.

        Raises:
            SlotsClosed: the run is being stopped.
            Exception: whatever made the attempt fail.
        """
        job = self.jobs[name]
        with self.slots.hold(job.kind, job.priority) as device:
            self._attempts[name] += 1
            self.progress.start(name, job.log)
            try:
                ended = job.attempt(self._attempts[name], {} if device is None else {"CUDA_VISIBLE_DEVICES": device})
            except BaseException as error:
                self._note_failure(job, error)
                raise
        self._ended[name] = ended.outcome
        self._failures.pop(name, None)
        self.progress.done(name, str(ended))
        return ended.outcome

    def may_retry(self, name: str) -> bool:
        """Not once the run is being stopped, nor a job that would fail in the same way again."""
        return not self.slots.closed and name not in self._final

    def outcome(self) -> Outcome:
        """What became of every job; call it when all have come to rest."""
        skipped: dict[str, str] = {}
        failures = dict(self._failures)
        for name, job in self.jobs.items():
            because = [parent for parent in job.parents if parent in failures or parent in skipped]
            if name in self._ended or name in failures:
                continue
            if because:
                skipped[name] = skipped.get(because[0], because[0])
            else:  # something outside the job broke: not to be taken for done
                reason = f"{name} was never run to its end"
                failures[name] = Failure(name, reason, "", job.log, self._attempts[name])
        return Outcome(dict(self._ended), tuple(failures.values()), skipped)

    def _note_failure(self, job: Job, error: BaseException) -> None:
        if getattr(error, "final", False):
            self._final.add(job.name)
        again = self.may_retry(job.name) and self._attempts[job.name] <= job.policy.retries
        self.progress.failed(job.name, job.policy.retry_delay if again else None)
        tail = getattr(error, "tail", None)
        if tail is None:
            reason, tail = f"{job.name} could not be run", repr(error)
        else:
            reason = str(error)
        self._failures[job.name] = Failure(job.name, reason, tail, job.log, self._attempts[job.name])
