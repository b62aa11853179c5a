"""An interrupted run ends the processes of its stages: as Ctrl-C would, then by force; and no other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tasks.process import command
from tasks.process.command import end_groups, run_command
from tasks.process.fork_client import Fork, fork_server
from tests.flows.waiting import PATIENCE, wait_until

GENTLE = "trap 'echo told > told; exit 7' INT; echo $$ > child; sleep 600"
STUBBORN = "trap '' INT; sleep 600 & echo $! > child; while :; do wait; done"
CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _interrupts() -> Iterator[None]:
    """What starts a test in the background may have SIGINT ignored, which every process here would inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def shell(folder: Path, script: str, pool: ThreadPoolExecutor) -> tuple[Future[int | None], psutil.Process]:
    """A script in a thread's `run_command`, and the process whose id it writes into `child`."""
    folder.mkdir()
    ended = pool.submit(run_command, ["bash", "-c", script], folder, subprocess.DEVNULL, os.environ, None)
    child = wait_until(lambda: (folder / "child").exists() and (folder / "child").read_text().strip())
    return ended, psutil.Process(int(child))


def test_a_command_is_interrupted_before_it_is_killed(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        gentle, first = shell(tmp_path / "gentle", GENTLE, pool)
        end_groups()
        assert gentle.result() == 7
        assert (tmp_path / "gentle/told").exists()
        stubborn, second = shell(tmp_path / "stubborn", STUBBORN, pool)
        end_groups(grace=0.5)
        assert stubborn.result() == -signal.SIGKILL
    for child in (first, second):
        child.wait(PATIENCE)  # the whole group goes
    assert not command._at_work()


def test_what_no_stage_has_started_is_left_alone(tmp_path):
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as bystander, ThreadPoolExecutor(1) as pool:
        gentle, _ = shell(tmp_path / "gentle", GENTLE, pool)
        end_groups()
        gentle.result()
        assert bystander.poll() is None
        bystander.kill()


def test_with_nothing_at_work_there_is_nothing_to_wait_for():
    end_groups(grace=PATIENCE)


def sleep(*_: object) -> None:
    """Work for a fork."""
    print("at work", flush=True)
    time.sleep(600)


def sleep_on(*_: object) -> None:
    """Work for a fork that Ctrl-C does not end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sleep()


@pytest.mark.parametrize(("work", "code"), [(sleep, 1), (sleep_on, 128 + signal.SIGKILL)])
def test_a_fork_is_interrupted_before_it_is_killed(tmp_path, fork, work: Callable[..., None], code):
    server = fork_server(fork)
    if server is None:
        pytest.skip("forks are for Linux")
    words = ["call", f"{work.__module__}:{work.__name__}", "[]"]
    output = tmp_path / "output"

    def run() -> tuple[int, int | None]:
        with output.open("wb") as file, Fork(server, words, tmp_path, os.environ, file.fileno()) as forked:
            return forked.pid, forked.wait()

    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(run)
        wait_until(lambda: output.exists() and b"at work" in output.read_bytes())
        end_groups(grace=PATIENCE if work is sleep else 0.5)
        pid, found = ended.result()
    assert found == code
    wait_until(lambda: not psutil.pid_exists(pid))
    assert ("KeyboardInterrupt" in output.read_text()) == (work is sleep)
