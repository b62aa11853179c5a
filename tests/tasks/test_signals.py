"""Ctrl-C, TERM and HUP to real runs: the stage closes its record, no process is left, and the exit code tells which."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from flows import errors
from tasks.process import command
from tests.flows.waiting import wait_until
from tests.tasks.conftest import make_project, run_stage
from tests.tasks.test_kill import all_are_gone, processes_in

pytestmark = pytest.mark.long

STAGE = "pretrain@rotation"
ENDLESS = {"epochs": 100_000, "batch_size": 64, "learning_rate": 0.05}
COVEY = """
import json, os, sys
from contextlib import nullcontext
from tasks.stage import fork_server
from tasks.staleness import dvc_internals
fork_server.running = lambda *_, **__: nullcontext(json.loads(os.environ["FORK"]))
if sys.argv.pop(1) == "command":
    dvc_internals.usable = lambda: False
from flows.cli import app
app()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, fork: dict[str, str]) -> Path:
    """A project with its data prepared, and a training that does not end by itself."""
    project = make_project(tmp_path_factory.mktemp("signals"), training=ENDLESS)
    done = run_stage(project, "prepare", fork)
    assert done.returncode == 0, done.stdout + done.stderr
    return project


def statuses(project: Path, status: str) -> list[str]:
    """The names of the records with this status, in SQLite itself."""
    with closing(sqlite3.connect(project / ".covey/mlflow.db", timeout=60)) as database:
        return sorted(name for (name,) in database.execute("SELECT name FROM runs WHERE status = ?", [status]))


def covey(project: Path, way: str, fork: dict[str, str]) -> subprocess.Popen[bytes]:
    """`covey run` of the training, with the session's servers."""
    words = [sys.executable, "-c", COVEY, way, "run", STAGE]
    environment = {**os.environ, **fork, "FORK": json.dumps(fork)}
    return start(words, project, environment)


def start(words: list[str], project: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """In a session of its own, as from a terminal; Ctrl-C is not ignored, as it would be in the background."""
    with (project / "said").open("wb") as said:
        return subprocess.Popen(
            words,
            cwd=project,
            env=environment,
            stdout=said,
            stderr=said,
            start_new_session=True,
            preexec_fn=lambda: [signal.signal(n, signal.SIG_DFL) for n in (signal.SIGINT, signal.SIGHUP)] and None,
        )


def wait_for_steps(project: Path, process: subprocess.Popen[bytes], log: Callable[[], str]) -> None:
    def trains() -> bool:
        assert process.poll() is None, (project / "said").read_text()
        return STAGE in statuses(project, "RUNNING") and "%" in log()

    wait_until(trains)


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize(
    ("way", "numbers", "code"),
    [
        ("fork", [signal.SIGINT, signal.SIGINT, signal.SIGTERM], 130),
        pytest.param("fork", [signal.SIGHUP], 129, marks=pytest.mark.exhaustive),
        ("command", [signal.SIGTERM, signal.SIGHUP], 143),
    ],
    ids=["Ctrl-C more than once", "HUP", "TERM and HUP, by DVC's command"],
)
def test_a_signal_closes_records_and_leaves_no_process(trained, fork, way, numbers, code):
    if not fork:
        pytest.skip("forks are for Linux")
    log = trained / f".covey/logs/{STAGE}.log"
    log.unlink(missing_ok=True)
    process = covey(trained, way, fork)
    wait_for_steps(trained, process, lambda: log.read_text() if log.exists() else "")
    assert statuses(trained, "RUNNING") == ["pretrain@rotation", STAGE]
    begin = time.monotonic()
    for number in numbers:
        process.send_signal(number)
        time.sleep(0.1)
    assert process.wait(60) == code
    assert time.monotonic() - begin < 2 * command.GRACE_SECONDS
    assert statuses(trained, "RUNNING") == []
    assert STAGE in statuses(trained, "KILLED")
    assert all_are_gone(trained), processes_in(trained)
    said = (trained / "said").read_text()
    assert said.rstrip().endswith(errors.STOPPED.strip())
    assert "Traceback" not in said


def test_a_closed_terminal_ends_dvc_and_the_stage_closes_its_record(trained, fork):
    """DVC dies of HUP at once; the stage is given the time that it needs."""
    environment = command.command_environment(fork)
    process = start([sys.executable, "-m", "dvc", "repro", "--single-item", STAGE], trained, environment)
    wait_for_steps(trained, process, (trained / "said").read_text)
    os.killpg(process.pid, signal.SIGHUP)
    assert process.wait(60) == -signal.SIGHUP
    wait_until(lambda: not statuses(trained, "RUNNING"))
    assert all_are_gone(trained), processes_in(trained)
