"""Jobs: the stages of a pipeline or the points of a sweep, which run side by side and depend on each other.

`Jobs` gives each attempt a slot, counts attempts, reports progress and collects failures. Prefect starts the attempts
(flows/run/flow.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from flows.run.progress import Progress
from flows.run.slots import Slots
from tasks.reporting.imprint import FAILED, SKIPPED
from tasks.settings.retries import Policy
from tasks.settings.stage_kinds import Kind

TAIL_LINES = 12
ERROR = "error: "
"""With this a stage begins the line that says what is wrong (tasks/stage/run.py)."""


@dataclass(frozen=True)
class Ended:
    """How a job ended.

    outcome: "ran", "unchanged" or "restored". worker: the Dask worker that ran it; empty for this machine.
    """

    outcome: str
    worker: str = ""

    def __str__(self) -> str:
        return f"{self.outcome} on {self.worker}" if self.worker else self.outcome


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        name: unique, and shown to the user.
        kind: names the Prefect task.
        parents: names of jobs of the same run that must succeed first.
        priority: of all jobs that wait for a slot, the one with the highest priority goes first.
        log: the file with its output.
        attempt: runs the job, given the number of the attempt (from 1) and the environment variables of its slot.
        device: whether it needs a GPU where there are any.
    """

    name: str
    kind: Kind
    parents: tuple[str, ...]
    policy: Policy
    priority: float
    log: Path
    attempt: Callable[[int, Mapping[str, str]], Ended]
    device: bool = False


@dataclass(frozen=True)
class Failure:
    """A job whose last attempt failed: the reason, the end of its log, and the path of the log."""

    name: str
    reason: str
    tail: str
    log: Path
    attempts: int

    @property
    def cause(self) -> str:
        """One line: what the stage said of its error, without its own name; else the reason."""
        said = [line.removeprefix(ERROR) for line in self.tail.splitlines() if line.startswith(ERROR)]
        return (said[-1] if said else self.reason).removeprefix(self.name).lstrip(": ")


@dataclass(frozen=True)
class Outcome:
    """The result of each job. skipped: job -> the failed job because of which it was skipped."""

    ended: Mapping[str, str]
    failures: tuple[Failure, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def absent(self) -> dict[str, tuple[str, str]]:
        """Of each stage that failed or was skipped its state and the reason, as a report shows them."""
        failed = {failure.name: (FAILED, failure.cause) for failure in self.failures}
        return failed | {name: (SKIPPED, f"because {root} failed") for name, root in self.skipped.items()}


class Jobs:
    """The jobs of one run, parents before children. Its methods are thread-safe.

    This is no dataclass, because Prefect searches dataclasses for futures.
    """

    def __init__(self, jobs: Iterable[Job], slots: Slots, progress: Progress) -> None:
        self.jobs = {job.name: job for job in jobs}
        self.slots, self.progress = slots, progress
        self._attempts = dict.fromkeys(self.jobs, 0)
        self._ended: dict[str, str] = {}
        self._failures: dict[str, Failure] = {}
        self._final: set[str] = set()

    def attempt(self, name: str) -> str:
        """Waits for a slot, then makes one attempt at a job. Returns its outcome.

        Raises:
            SlotsClosed: the run is being stopped.
            Exception: the attempt failed.
        """
        job = self.jobs[name]
        with self.slots.hold(device=job.device, priority=job.priority) as device:
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
        """Whether a failed job may be retried: not while the run is being stopped, and not after a final failure."""
        return not self.slots.closed and name not in self._final

    def outcome(self) -> Outcome:
        """The result of every job. Call it when no job is running."""
        skipped: dict[str, str] = {}
        failures = dict(self._failures)
        for name, job in self.jobs.items():
            because = [parent for parent in job.parents if parent in failures or parent in skipped]
            if name in self._ended or name in failures:
                continue
            if because:
                skipped[name] = skipped.get(because[0], because[0])
            else:  # something outside the job failed; it must not count as done
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
