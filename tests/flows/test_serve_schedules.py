"""Schedules at work: which runs are carried out, how they end, and that a kill leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID, uuid4

import pytest
import typer
from typer.testing import CliRunner

from flows.cli import app
from flows.errors import run_lock
from flows.serve import service
from flows.serve.service import Due, Service, triage
from tasks.project.project import Project
from tasks.settings import params
from tasks.settings.schedules import Schedule
from tests.flows import stand_in

CHECKOUT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NIGHTLY = Schedule("nightly", "30 2 * * *", "UTC")


def due(hours: float, *, planned: bool = True) -> Due:
    return Due(uuid4(), NOON + timedelta(hours=hours), planned)


def changed(**values) -> Schedule:
    return Schedule(**(vars(NIGHTLY) | values))


def test_of_all_times_that_were_missed_only_the_last_is_made_good():
    missed = [due(-72), due(-48), due(-24)]
    assert triage(missed[::-1], NIGHTLY, NOON) == ([missed[2]], missed[:2])


def test_without_catch_up_what_was_due_before_the_start_is_missed():
    before, after = due(-24), due(0.1)
    assert triage([before], changed(catch_up=False), NOON) == ([], [before])
    assert triage([before, after], changed(catch_up=False), NOON) == ([after], [before])


def test_a_machine_that_slept_over_several_times_runs_once():
    slept = [due(1), due(2), due(3)]
    assert triage(slept, changed(catch_up=False), NOON) == ([slept[2]], slept[:2])


def test_what_was_started_by_hand_is_always_carried_out():
    by_hand = [due(-3, planned=False), due(-1, planned=False)]
    late = due(-2)
    assert triage([late, *by_hand], changed(paused=True), NOON) == (by_hand, [late])
    assert triage([late, *by_hand], NIGHTLY, NOON) == ([by_hand[0], late, by_hand[1]], [])
    assert triage([], NIGHTLY, NOON) == ([], [])


class Client:
    """Prefect's client as far as a service uses it, with the runs and states in memory."""

    def __init__(self) -> None:
        self.due: list[SimpleNamespace] = []
        self.states: dict[UUID, str] = {}

    def plan(self, deployment: UUID, *, planned: bool = True) -> UUID:
        run = SimpleNamespace(
            id=uuid4(), deployment_id=deployment, next_scheduled_start_time=datetime.now(UTC), auto_scheduled=planned
        )
        self.due.append(run)
        return run.id

    def get_scheduled_flow_runs_for_deployments(self, *_):
        return [run for run in self.due if self.states.get(run.id, "Scheduled") == "Scheduled"]

    def set_flow_run_state(self, run: UUID, state, force: bool = False) -> None:  # noqa: ARG002
        self.states[run] = state.name

    def read_flow_run(self, run: UUID) -> SimpleNamespace:
        name = self.states[run]
        state = SimpleNamespace(name=name, message="", is_final=lambda: name not in ("Pending", "Running"))
        return SimpleNamespace(state=state, state_type=name.upper())

    def read_task_runs(self, **_):
        return []


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A service whose runs are sleeping processes; yields it with its client and the id of its deployment."""
    (tmp_path / "params.yaml").touch()
    real = subprocess.Popen
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(service.subprocess, "Popen", lambda _, **how: real(sleeper, **how))
    monkeypatch.setattr(service, "GRACE_SECONDS", 1.0)
    made = Service(Project(tmp_path), {"nightly": NIGHTLY})
    made.client, deployment = Client(), uuid4()
    made.deployments = {deployment: "nightly"}
    yield made, made.client, deployment
    made.stop()


def test_a_run_that_is_due_while_the_one_before_works_is_skipped(served):
    made, client, deployment = served
    first = client.plan(deployment)
    made.step()
    second = client.plan(deployment)
    made.step()
    assert (client.states[first], client.states[second]) == ("Pending", "Skipped")
    assert list(made.active) == [first]


def test_with_queue_it_waits_and_then_runs(served):
    made, client, deployment = served
    made.entries = {"nightly": changed(overlap="queue")}
    first = client.plan(deployment)
    made.step()
    second, third = client.plan(deployment), client.plan(deployment, planned=False)
    made.step()
    assert list(made.active) == [first]
    client.states[first] = "Completed"
    made.active[first][1].kill()
    made.active[first][1].wait()
    made.step()
    assert list(made.active) == [second]
    assert client.states.get(third) is None


def test_a_run_cancelled_on_the_page_is_ended_and_one_that_died_is_closed(served):
    made, client, deployment = served
    first = client.plan(deployment)
    made.step()
    process = made.active[first][1]
    client.states[first] = "Cancelling"
    made.step()
    assert process.poll() is not None
    assert client.states[first] == "Cancelled"
    second = client.plan(deployment)
    made.step()
    made.active[second][1].kill()
    made.active[second][1].wait()
    made.step()
    assert client.states[second] == "Crashed"
    assert not made.active


def test_stopping_ends_the_runs(served):
    made, client, deployment = served
    run = client.plan(deployment)
    made.step()
    process = made.active[run][1]
    made.stop()
    assert process.poll() is not None
    assert client.states[run] == "Stopped"


def test_schedules_are_taken_up_when_the_file_changes(served, monkeypatch, capsys):
    made, *_ = served
    registered = []
    monkeypatch.setattr(service, "next_time", lambda _: NOON)
    monkeypatch.setattr(made, "register", lambda: registered.append(dict(made.entries)))
    monkeypatch.setattr(params, "check_parameters", lambda *_: None)
    monkeypatch.setattr(params, "read", lambda _: {"schedules": {"weekly": {"cron": "0 4 * * 0", "run": []}}})
    made._reread()
    assert not registered
    os.utime(made.project.root / "params.yaml", ns=(1, 1))
    made._reread()
    made._reread()
    assert [list(entries) for entries in registered] == [["weekly"]]

    def refuse(_):
        raise params.ParameterError("training.epochs: 'ten' is not of type int.")

    monkeypatch.setattr(params, "read", refuse)
    os.utime(made.project.root / "params.yaml", ns=(2, 2))
    made._reread()
    assert list(made.entries) == ["weekly"]
    assert "stay as they were" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failures", "worse", "state"),
    [
        ((), (), ("Completed", "COMPLETED", "2 stages brought up to date.")),
        ((), ("world: rotation, linear",), ("Regression", "FAILED", "worse than published: world: rotation, linear")),
        (
            ("pretrain@rotation",),
            (),
            ("Failed", "FAILED", "failed: pretrain@rotation; skipped because of that: report"),
        ),
        (("cluster@a",), ("x",), ("Failed", "FAILED", "failed: cluster@a; skipped because of that: report")),
    ],
)
def test_the_state_tells_how_a_run_ended(failures, worse, state):
    from flows.command import Ending
    from flows.run.jobs import Failure, Outcome
    from flows.serve.states import state_of

    failed = tuple(Failure(name, "failed", "", Path("log"), 1) for name in failures)
    skipped = {"report": failures[0]} if failures else {}
    ending = Ending(Outcome({"prepare": "ran", "code": "ran"}, failed, skipped), worse, 1.0)
    made = state_of(ending)
    assert (made.name, made.type.value, made.message) == state
    assert ending.code == (1 if failures else 4 if worse else 0)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "results").mkdir()
    for name in ("dvc.yaml", "params.yaml", "results/report.html"):
        (tmp_path / name).touch()
    stand_in.install(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_where_nothing_is_stale_the_state_says_so_and_beside_another_run_it_is_skipped_or_waits(project, monkeypatch):
    from flows.serve import flow

    (project / "stale.json").write_text("{}")
    assert flow.run_scheduled(Project(project), NIGHTLY).name == "Nothing stale"
    naps = []
    with Project(project).lock("run").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert flow.run_scheduled(Project(project), NIGHTLY).name == "Skipped"
        monkeypatch.setattr(flow.locks, "wait_until_free", lambda _: fcntl.flock(lock, fcntl.LOCK_UN))
        monkeypatch.setattr(flow.time, "sleep", naps.append)
        assert flow.run_scheduled(Project(project), changed(overlap="queue")).name == "Nothing stale"
    assert len(naps) == 1


@pytest.mark.parametrize(("ended", "name"), [(False, "Completed"), (True, "Failed"), (3, "Skipped")])
def test_a_sweep_ends_as_its_command_does(project, monkeypatch, ended, name):
    from flows.serve import flow

    asked = []

    def run_sweep(_: Project, sweep: str, **options: object) -> bool:
        asked.append((sweep, options))
        if ended == 3:
            raise typer.Exit(3)
        return ended

    monkeypatch.setattr(flow, "run_sweep", run_sweep)
    assert flow.run_scheduled(Project(project), changed(sweep="seeds")).name == name
    assert asked == [("seeds", {"dry_run": False, "jobs": None})]


def test_help_teaches():
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["serve", "--help"])
    assert result.exit_code == 0
    for taught in ("schedules", "params.yaml", "overlap: queue", "Ctrl-C", "--port"):
        assert taught in result.output


@pytest.mark.usefixtures("project")
def test_serve_is_refused_where_there_is_no_schedule():
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 2
    assert "params.yaml has no schedules" in result.stderr


def test_a_second_serve_is_refused_and_names_the_first(project, monkeypatch):
    monkeypatch.setattr(params, "read", lambda _: {"schedules": {"nightly": {"cron": "30 2 * * *", "run": []}}})
    with run_lock(Project(project), "serve"):
        result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 3
    assert f"(pid {os.getpid()})" in result.stderr
