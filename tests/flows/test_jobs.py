"""Jobs, on which stages and points of sweeps run alike: their order, their failures, and what became of each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from rich.console import Console

from flows.run.jobs import Ended, Failure, Job, Jobs, Outcome
from flows.run.progress import Progress
from flows.run.slots import Slots, SlotsClosed
from tasks.settings.retries import Policy
from tasks.staleness.dvc_errors import StageFailed
from tests.flows.waiting import wait_until

Attempt = Callable[[int, Mapping[str, str]], Ended]


class Book:
    """Makes fake jobs and keeps what they were given: (name, number of the attempt, environment)."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, dict[str, str]]] = []
        self._writing = threading.Lock()

    def job(
        self,
        name: str,
        parents: tuple[str, ...] = (),
        *,
        device: bool = False,
        priority: float = 0.0,
        retries: int = 0,
        does: Attempt = lambda *_: Ended("ran"),
    ) -> Job:
        def attempt(number: int, place: Mapping[str, str]) -> Ended:
            with self._writing:
                self.begun.append((name, number, dict(place)))
            return does(number, place)

        policy = Policy(retries=retries, retry_delay=0.0)
        return Job(name, "train", parents, policy, priority, Path(f"{name}.log"), attempt, device)

    @property
    def names(self) -> list[str]:
        return [name for name, *_ in self.begun]


def start(*jobs: Job, slots: Slots | None = None, console: Console | None = None) -> Jobs:
    return Jobs(jobs, slots or Slots(1), Progress(len(jobs), console or Console(quiet=True)))


def fails(*, final: bool = False, times: int = 99) -> Attempt:
    def does(number: int, _: Mapping[str, str]) -> Ended:
        if number <= times:
            raise StageFailed("job", "failed (exit code 1)", f"last words {number}", Path("log"), final=final)
        return Ended("ran")

    return does


@pytest.fixture
def book() -> Book:
    return Book()


def test_the_highest_priority_goes_first(book):
    slots = Slots(1)
    jobs = start(*(book.job(name, priority=weight) for name, weight in {"a": 1, "b": 3, "c": 2}.items()), slots=slots)
    with ThreadPoolExecutor(3) as pool, slots.hold(device=False):
        for count, name in enumerate("abc", start=1):
            pool.submit(jobs.attempt, name)
            wait_until(lambda count=count: len(slots._slot_queue) == count)
    assert book.names == ["b", "c", "a"]


def test_an_attempt_is_given_its_number_and_its_device(book):
    jobs = start(book.job("a", device=True), book.job("b"), slots=Slots(1, ["7"]))
    assert jobs.attempt("a") == "ran"
    jobs.attempt("a")
    jobs.attempt("b")
    device = {"CUDA_VISIBLE_DEVICES": "7"}
    assert book.begun == [("a", 1, device), ("a", 2, device), ("b", 1, {})]


def test_a_failure_may_be_retried_and_a_final_one_not(book, capsys):
    flaky, wrong = book.job("flaky", retries=1, does=fails()), book.job("wrong", retries=1, does=fails(final=True))
    jobs = start(flaky, wrong, console=Console(width=200))
    for name in ("flaky", "wrong"):
        with pytest.raises(StageFailed):
            jobs.attempt(name)
    assert jobs.may_retry("flaky")
    assert not jobs.may_retry("wrong")
    told = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if line.startswith("failed")}
    assert "tried again in" in told["flaky"]
    assert "tried again" not in told["wrong"]
    jobs.slots.close()
    assert not jobs.may_retry("flaky")
    with pytest.raises(SlotsClosed):
        jobs.attempt("flaky")


def test_a_job_that_ends_well_at_last_has_not_failed(book):
    jobs = start(book.job("a", retries=1, does=fails(times=1)))
    with pytest.raises(StageFailed):
        jobs.attempt("a")
    jobs.attempt("a")
    outcome = jobs.outcome()
    assert (outcome.ended, outcome.failures, outcome.skipped) == ({"a": "ran"}, (), {})


def test_a_failure_has_the_reason_the_tail_and_the_number_of_attempts(book):
    def breaks(*_: object) -> Ended:
        raise ZeroDivisionError("of no stage")

    jobs = start(book.job("a", retries=1, does=fails()), book.job("b", does=breaks))
    for name, error in (("a", StageFailed), ("a", StageFailed), ("b", ZeroDivisionError)):
        with pytest.raises(error):
            jobs.attempt(name)
    first, second = jobs.outcome().failures
    assert (first.name, first.reason, first.tail, first.attempts) == (
        "a",
        "job failed (exit code 1)",
        "last words 2",
        2,
    )
    assert first.log == Path("a.log")
    assert (second.reason, second.tail) == ("b could not be run", "ZeroDivisionError('of no stage')")


def test_descendants_are_skipped_because_of_the_first_that_failed(book):
    jobs = start(
        book.job("a", does=fails()), book.job("b", ("a",)), book.job("c", ("b",)), book.job("d"), book.job("e", ("d",))
    )
    with pytest.raises(StageFailed):
        jobs.attempt("a")
    for name in ("d", "e"):
        jobs.attempt(name)
    outcome = jobs.outcome()
    assert outcome.skipped == {"b": "a", "c": "a"}
    assert outcome.ended == {"d": "ran", "e": "ran"}


def test_a_job_that_was_never_run_counts_as_failed(book):
    jobs = start(book.job("a"), book.job("b", ("a",)), book.job("c", ("b",)))
    jobs.attempt("a")
    outcome = jobs.outcome()
    assert [(failure.name, failure.attempts) for failure in outcome.failures] == [("b", 0)]
    assert outcome.failures[0].reason == "b was never run to its end"
    assert outcome.skipped == {"c": "b"}


@pytest.mark.usefixtures("prefect")
def test_prefect_starts_jobs_in_order_retries_them_and_leaves_out_descendants(book):
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows.run.flow import run_jobs

    jobs = start(
        book.job("first"),
        book.job("flaky", ("first",), retries=2, does=fails(times=2)),
        book.job("wrong", ("first",), retries=2, does=fails(final=True)),
        book.job("last", ("first", "flaky")),
        book.job("lost", ("flaky", "wrong")),
        slots=Slots(2),
    )
    outcome = flow(name="jobs", task_runner=ThreadPoolTaskRunner())(lambda: run_jobs(jobs))()
    assert book.names[0] == "first"
    assert [number for name, number, _ in book.begun if name == "flaky"] == [1, 2, 3]
    assert [book.names.count(name) for name in ("wrong", "last", "lost")] == [1, 1, 0]
    assert outcome.ended == dict.fromkeys(["first", "flaky", "last"], "ran")
    assert [failure.name for failure in outcome.failures] == ["wrong"]
    assert outcome.skipped == {"lost": "wrong"}


@pytest.mark.parametrize(
    ("tail", "cause"),
    [
        ("> python -m tasks x\nerror: job: 3 samples\nERROR: failed to reproduce 'job'", "3 samples"),
        ("error: transfer.knn: neighbours = 0\nerror: the last one", "the last one"),
        ("Killed", "failed (exit code 1)"),
    ],
)
def test_a_report_says_of_a_failure_what_the_stage_said(tail, cause):
    failure = Failure("job", "job failed (exit code 1)", tail, Path("log"), 1)
    outcome = Outcome({}, (failure,), {"child": "job"})
    assert outcome.absent == {"job": ("failed", cause), "child": ("skipped", "because job failed")}
