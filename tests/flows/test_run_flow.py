"""The flow of stages, on a pipeline of sleeping and failing stand-ins, and what a person sees of it."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from flows.run import plan
from flows.run.engine import Local
from flows.run.jobs import Jobs
from flows.run.progress import Progress, last_line
from flows.run.slots import Slots, SlotsClosed
from tasks.process import command, identity
from tasks.process.duration import duration
from tasks.project.project import Project
from tasks.settings import retries
from tasks.settings.retries import Policy
from tasks.settings.schema import ParameterError
from tasks.staleness.dvc_errors import StageFailed
from tests.flows import stand_in
from tests.flows.waiting import wait_until

CHECKOUT = Path(__file__).resolve().parents[2]


def make_jobs(root: Path, *, slots: Slots | None = None, attempts: int = 0, force: bool = False) -> Jobs:
    from flows.run.flow import stage_jobs

    project = Project(root)
    (root / "results").mkdir()
    (root / "results/report.html").touch()
    work = plan.make(project, force=force)
    policies = {kind: Policy(retries=attempts, retry_delay=0) for kind in retries.DEFAULTS}
    progress = Progress(len(work.names), Console(quiet=True))
    return Jobs(stage_jobs(project, work, policies, Local(project), {"COVEY_X": "1"}), slots or Slots(1), progress)


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    stand_in.install(monkeypatch.setattr)


def test_priority_is_the_heaviest_way_to_an_end(tmp_path):
    weights = {"prepare": 1, "train": 20, "extract": 3, "transfer": 4, "report": 1}
    priorities = plan.priorities(plan.make(Project(tmp_path)), weights)
    assert priorities["report"] == 1
    assert priorities["transfer@rotation-linear"] == 5
    assert priorities["extract@rotation"] == 8
    assert priorities["pretrain@rotation"] == 28
    assert priorities["prepare"] == 29


def test_one_attempt_passes_environment_and_device(tmp_path):
    run = make_jobs(tmp_path, slots=Slots(1, ["3"]))
    assert run.attempt("pretrain@rotation") == "ran"
    assert run.attempt("report") == "ran"
    calls = [json.loads(line) for line in (tmp_path / "calls.txt").read_text().splitlines()]
    assert calls[0] == ["begin", "pretrain@rotation", ["COVEY_X", "CUDA_VISIBLE_DEVICES"], False]
    assert calls[2] == ["begin", "report", ["COVEY_X"], False]


def test_only_the_first_attempt_is_forced(tmp_path):
    (tmp_path / "faults.json").write_text('{"prepare": 1}')
    run = make_jobs(tmp_path, attempts=1, force=True)
    with pytest.raises(RuntimeError, match="exit code 1"):
        run.attempt("prepare")
    run.attempt("prepare")
    forced = [json.loads(line)[3] for line in (tmp_path / "calls.txt").read_text().splitlines() if "begin" in line]
    assert forced == [True, False]
    assert not [failure for failure in run.outcome().failures if failure.name == "prepare"]


def test_outcome_names_the_root_of_each_skip(tmp_path):
    (tmp_path / "faults.json").write_text('{"pretrain@simclr": 1}')
    run = make_jobs(tmp_path)
    for name in ("prepare", "pretrain@rotation", "extract@rotation", "transfer@rotation-linear"):
        run.attempt(name)
    with pytest.raises(RuntimeError):
        run.attempt("pretrain@simclr")
    outcome = run.outcome()
    assert [failure.name for failure in outcome.failures] == ["pretrain@simclr"]
    assert "last words of pretrain@simclr" in outcome.failures[0].tail
    assert outcome.skipped == dict.fromkeys(["extract@simclr", "transfer@simclr-linear", "report"], "pretrain@simclr")


def test_a_stage_that_nobody_brought_to_its_end_is_not_taken_for_done(tmp_path):
    run = make_jobs(tmp_path)
    run.attempt("prepare")
    outcome = run.outcome()
    assert {failure.name for failure in outcome.failures} == {"pretrain@rotation", "pretrain@simclr"}
    assert "never run to its end" in outcome.failures[0].reason
    assert "report" in outcome.skipped


def test_an_interrupt_ends_the_processes_of_stages_only(tmp_path, monkeypatch):
    from flows.run import flow

    monkeypatch.setenv("STAND_IN_SECONDS", "600")
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    monkeypatch.setattr("threading.Timer.start", lambda _: None)  # the last resort would end the tests
    run = make_jobs(tmp_path, slots=Slots(1))
    with ThreadPoolExecutor(2) as pool:
        stages = []

        def submit(_: Jobs) -> list[object]:
            stages.append(pool.submit(run.attempt, "prepare"))
            wait_until(lambda: command._at_work())
            stages.append(pool.submit(run.attempt, "report"))
            raise KeyboardInterrupt

        monkeypatch.setattr(flow, "submit", submit)
        with pytest.raises(KeyboardInterrupt):
            flow.run_jobs(run)
    assert isinstance(stages[0].exception(), StageFailed)  # its status was not taken from it
    assert isinstance(stages[1].exception(), SlotsClosed)
    assert not command._at_work()
    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


def test_policies_take_changes_and_refuse_mistakes():
    table = retries.read({"orchestration": {"train": {"retries": 7, "timeout": None}}})
    assert (table["train"].retries, table["train"].timeout) == (7, None)
    assert table["prepare"] == retries.DEFAULTS["prepare"]
    for block, message in [
        ({"trian": {}}, "Did you mean 'train'"),
        ({"train": {"retrys": 1}}, "Did you mean 'retries'"),
        ({"train": {"retries": -1}}, "retries is -1; it must be at least 0"),
        ({"train": {"timeout": 0}}, "above 0"),
        ({"train": {"retries": "2"}}, "not of type int"),
    ]:
        with pytest.raises(ParameterError, match=message):
            retries.read({"orchestration": block})


def test_plain_lines_where_there_is_no_terminal(tmp_path):
    log = tmp_path / ".covey" / "logs" / "report.log"
    log.parent.mkdir(parents=True)
    log.write_text("reading\nepoch 1: 10 %\repoch 1: \x1b[1m20 %\x1b[0m\r\n\n")
    screen = io.StringIO()
    with Progress(1, Console(file=screen, width=200), every=0.05) as progress:
        progress.start("report", log)
        wait_until(lambda: "running" in screen.getvalue())
        progress.failed("report", 5.0)
        progress.start("report", log)
        progress.done("report", "restored")
    lines = screen.getvalue().splitlines()
    assert lines[0] == "start    report"
    assert re.fullmatch(r"running  report for \d+\.\d s: epoch 1: 20 %", lines[1])
    _, failed, again, done = [line for line in lines if not line.startswith("running")]
    assert failed.endswith("; tried again in 5.0 s")
    assert again == "start    report"
    assert done.endswith("(restored)")
    assert last_line(tmp_path / "none.log") == ""


def test_the_wait_for_dvc_s_own_lock_is_no_news(tmp_path):
    log = tmp_path / "report.log"
    told = "Unable to acquire lock. Most likely another DVC process is running or was terminated abruptly."
    log.write_text(f"epoch 3\n\rWaiting to acquire lock. If DVC froze, see `hardlink_lock`\r{told} Check <y>\r\n")
    assert last_line(log) == "epoch 3"
    log.write_text(f"{told} Check <y> for other possible reasons and to learn how to resolve this.\n")
    assert last_line(log) == ""


def test_live_view_shows_a_line_a_running_stage(tmp_path):
    console = Console(force_terminal=True, width=100, record=True, file=io.StringIO())
    with Progress(3, console) as progress:
        progress.start("prepare", tmp_path / "none.log")
        progress.start("report", tmp_path / "none.log")
        progress.done("report", "ran")
        console.print(progress._view())
    text = console.export_text()
    assert "prepare" in text
    assert "1 of 3 done" in text


@pytest.mark.parametrize(("seconds", "text"), [(12.34, "12.3 s"), (245, "4 min 05 s"), (7620, "2 h 07 min")])
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text


def test_covey_run_with_a_real_server(tmp_path):
    """Order, retries, siblings, skips, exit code and last lines; no server is left; a dead run of before is closed."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "faults.json").write_text('{"pretrain@rotation": 9, "pretrain@simclr": 1}')
    (tmp_path / "dead.json").write_text(json.dumps({**identity.identity(), "pid": 2**22 + 1}))
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.stand_in", "run", "--jobs", "2"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = run.communicate(timeout=300)
    assert run.returncode == 1, out + err
    calls = [json.loads(line) for line in (tmp_path / "calls.txt").read_text().splitlines()]
    begun = [call[1] for call in calls if call[0] == "begin"]
    assert begun[0] == "prepare"
    assert begun.count("pretrain@rotation") == 3
    assert begun.count("pretrain@simclr") == 2
    assert begun.index("extract@simclr") < begun.index("transfer@simclr-linear")
    assert not {"extract@rotation", "transfer@rotation-linear", "report"} & set(begun)
    assert calls[1][:2] == ["end", "prepare"]
    assert ["mlflow", "FAILED"] in calls
    assert "skipped  report because of pretrain@rotation" in out
    assert err.splitlines()[-1].endswith("pretrain@rotation.log")
    assert "last words of pretrain@rotation" in err
    assert "Traceback" not in out + err
    with closing(sqlite3.connect(tmp_path / ".covey" / "prefect" / "prefect.db")) as database:
        states = dict(database.execute("SELECT name, state_type FROM flow_run"))
        attempts = dict(database.execute("SELECT name, run_count FROM task_run"))
    assert states.pop("dead") == "CRASHED"
    assert list(states.values()) == ["FAILED"]
    assert attempts["pretrain@rotation"] == 3
    servers = [other for other in psutil.process_iter(["environ"]) if str(tmp_path) in str(other.info["environ"])]
    assert not servers


def test_a_prefect_server_that_is_lost_stops_the_run_with_a_word(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    calls = tmp_path / "calls.txt"
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.stand_in", "run"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), "STAND_IN_SECONDS": "600"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(calls.exists)
    (server,) = [child for child in psutil.Process(run.pid).children() if "prefect_server" in str(child.cmdline())]
    server.kill()
    out, err = run.communicate(timeout=60)
    assert run.returncode == 1, out + err
    assert len(err.splitlines()) == 1
    assert "The Prefect server of this run has ended (exit code -9)" in err
    assert str(tmp_path / ".covey/logs/prefect-server.log") in err
    assert "`covey run` continues from the last checkpoints" in err
    assert json.loads(calls.read_text().splitlines()[-1]) == ["mlflow", "KILLED"]
    assert not [other for other in psutil.process_iter(["environ"]) if str(tmp_path) in str(other.info["environ"])]
