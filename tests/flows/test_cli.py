"""The command line: what it teaches, what it refuses, and that it stays quick where there is nothing to do."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.run import plan
from tasks.project.project import Project
from tasks.reporting import terminal
from tasks.reporting.imprint import Gap, Imprint
from tasks.settings import edit, params, readers
from tests.flows import stand_in
from tests.graphs import stage

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    (tmp_path / "dvc.yaml").touch()
    page(tmp_path)
    stand_in.install(monkeypatch.setattr)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def page(project: Path) -> None:
    """A report's page: where there is none, the report runs again."""
    (project / "results").mkdir()
    (project / "results" / "report.html").touch()


def covey(*words: str):
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


@pytest.mark.parametrize(
    ("command", "taught"),
    [
        ([], ["params.yaml", "covey run", "status", "report", "ui"]),
        (["run"], ["covey run rotation", "--data ~/photos", "--jobs 1", "Ctrl-C", "Exit codes"]),
        (["status"], ["covey status --json", "waiting"]),
        (["report"], ["covey report"]),
        (["ui"], ["ssh -L", "127.0.0.1"]),
    ],
)
def test_help_teaches(command, taught):
    result = covey(*command, "--help")
    assert result.exit_code == 0
    for words in taught:
        assert words in result.output


@pytest.mark.parametrize(
    ("word", "stages"),
    [
        ("report", ["report"]),
        ("pretrain@simclr", ["pretrain@simclr"]),
        ("pretrain", ["pretrain@rotation", "pretrain@simclr"]),
        ("train", ["pretrain@rotation", "pretrain@simclr"]),
        ("linear", ["transfer@rotation-linear", "transfer@simclr-linear"]),
        ("rotation", ["pretrain@rotation", "extract@rotation", "transfer@rotation-linear"]),
        ("rotation-linear", ["transfer@rotation-linear"]),
    ],
)
def test_a_target_may_be_a_shorthand(word, stages):
    assert list(plan.resolve(stand_in.GRAPH, [word])) == stages


def test_a_run_does_not_stand_for_another_that_begins_like_it():
    graph = {name: stage(name) for name in ("pretrain@rotation", "clusterfit@rotation_cf")}
    assert plan.resolve(graph, ["rotation"]) == ("pretrain@rotation",)


@pytest.mark.usefixtures("project")
def test_an_unknown_target_is_refused_with_the_closest():
    result = covey("run", "rotatoin")
    assert result.exit_code == 2
    assert "Did you mean 'rotation'?" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("project")
def test_a_mistake_in_the_parameters_is_refused_in_one_line(monkeypatch):
    def load(_: Path) -> None:
        raise params.ParameterError("training.epochs: 'ten' is not of type int.")

    monkeypatch.setattr(params, "read", load)
    for command in ("run", "status"):
        result = covey(command)
        assert result.exit_code == 2
        assert result.stderr == "covey: training.epochs: 'ten' is not of type int.\n"


@pytest.mark.usefixtures("project")
def test_a_mistake_in_the_orchestration_block_is_refused(monkeypatch):
    monkeypatch.setattr(params, "read", lambda _: {"orchestration": {"train": {"retrys": 3}}})
    result = covey("run")
    assert result.exit_code == 2
    assert "Did you mean 'retries'?" in result.stderr


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--all", "--runs", "small"], "--all is --runs all, and --runs small is another set"),
        (["run", "--scheduler", "tcp://x:1"], "--scheduler needs --engine dask"),
        (["run", "--engine", "ray"], "--engine: unknown engine 'ray'"),
        (["run", "a\nb"], "unknown target 'a\\nb'"),
        (["study", "a", "--all"], "--all is every study; leave it out for a alone"),
        (["study"], "name a study"),
        (["sweep", "../params"], "unknown sweep '../params'"),
        (["sweep", "a" * 300], "unknown sweep 'aaa"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(words, told):
    result = covey(*words)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert told in result.stderr


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("words", [["run"], ["sweep", "a"], ["study", "a"]])
@pytest.mark.parametrize("jobs", ["0", "-1", "1.5", "999999999999"])
def test_a_number_of_jobs_out_of_bounds_is_refused(words, jobs):
    result = covey(*words, "--jobs", jobs)
    assert result.exit_code == 2
    assert "--jobs" in result.stderr


def test_outside_a_project_it_says_where_to_go(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = covey("status")
    assert result.exit_code == 2
    assert "no dvc.yaml" in result.stderr


def test_data_is_selected_before_parameters_are_read(project, monkeypatch):
    order = []
    monkeypatch.setattr(edit, "select_data", lambda _, wanted, *__: order.append(wanted) or "photos")
    monkeypatch.setattr(params, "read", lambda _: order.append("read") or {**stand_in.PARAMETERS, "seed": 0})
    monkeypatch.setattr(readers, "told", lambda *_: "one folder: no labels; 8 pictures")
    (project / "stale.json").write_text("{}")
    result = covey("run", "--data", "~/photos")
    assert order == ["read", "~/photos", "read"], "at first only for the names of groups"
    told = "one folder: no labels; 8 pictures"
    assert result.stdout == f"Data set: photos\n{told}\nNothing is stale: 8 stages are up to date.\n"


def test_a_group_is_taken_one_by_one_and_takes_no_options_of_one_data_set(project, monkeypatch):
    taken = []
    parameters = {**stand_in.PARAMETERS, "seed": 0, "groups": {"both": ["one", "two"]}}
    monkeypatch.setattr(params, "read", lambda _: parameters)
    monkeypatch.setattr(edit, "select_data", lambda _, wanted, *__: taken.append(wanted) or wanted)
    monkeypatch.setattr(readers, "told", lambda *_: "")
    (project / "stale.json").write_text("{}")
    result = covey("run", "--data", "both")
    assert (result.exit_code, taken, result.stdout.count("Nothing is stale")) == (0, ["one", "two"], 2)
    refused = covey("run", "--data", "both", "--size", "32")
    assert "both is a group (one, two), and --labels, --size, --group and --sound go with one" in refused.stderr


def test_nothing_stale_among_the_targets(project):
    (project / "stale.json").write_text('{"report": ["changed"]}')
    result = covey("run", "rotation")
    assert result.exit_code == 0
    assert result.stdout == "Nothing is stale: 4 stages are up to date.\n"


def test_force_plans_the_targets_and_not_what_they_need(project):
    (project / "stale.json").write_text("{}")
    work = plan.make(Project(project), ["extract@rotation"], force=True)
    assert work.names == ("extract@rotation",)
    assert work.forced == {"extract@rotation"}
    assert len(plan.make(Project(project), force=True).names) == 8


def test_a_second_run_is_refused_and_names_the_first(project):
    hold = "import fcntl,os,sys; f=open(sys.argv[1],'w'); fcntl.flock(f,2); f.write(str(os.getpid())); f.flush()"
    lock = project / ".covey" / "locks" / "run.lock"
    lock.parent.mkdir(parents=True)
    words = [sys.executable, "-c", f"{hold}; print('held', flush=True); sys.stdin.read()", str(lock)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        result = covey("run")
        assert result.exit_code == 3
        assert f"(pid {first.pid})" in result.stderr
        first.kill()
    (project / "stale.json").write_text("{}")
    assert covey("run").exit_code == 0


def test_status_tells_fresh_stale_and_waiting(project):
    (project / "stale.json").write_text('{"extract@rotation": ["tasks/extract.py modified"]}')
    states = json.loads(covey("status", "--json").stdout)
    assert states["prepare"] == {"state": "fresh", "reasons": []}
    assert states["extract@rotation"] == {"state": "stale", "reasons": ["tasks/extract.py modified"]}
    assert states["transfer@rotation-linear"] == {"state": "waiting", "reasons": ["extract@rotation comes first"]}
    assert states["report"]["state"] == "waiting"
    assert states["transfer@simclr-linear"]["state"] == "fresh"
    table = covey("status").stdout
    assert "tasks/extract.py modified" in table
    assert "3 of 8 stages to run" in table


def test_report_prints_the_table_and_the_path(project, monkeypatch):
    shutil.rmtree(project / "results")
    result = covey("report")
    assert result.exit_code == 2
    assert "no report yet" in result.stderr
    page(project)
    monkeypatch.setattr(terminal, "terminal_table", lambda _: "the table")
    assert covey("report").stdout.splitlines()[-3:] == ["the table", "", str(project / "results" / "report.html")]


@pytest.mark.parametrize(
    ("data", "stale", "said"),
    [
        ("photos", {}, "Up to date."),
        ("photos", {"extract@rotation": ["changed"]}, "Stale: 3 of 8 stages are out of date"),
        ("world", {}, "The selected data set is another, photos: `covey run` makes its report."),
    ],
)
def test_report_says_whose_numbers_it_shows_and_whether_they_are_stale(project, data, stale, said):
    own = Imprint((data,), "2026-01-31 12:00 UTC", (Gap("not applicable", "too few", ("transfer@rotation-knn",)),))
    path = project / "results" / "report.html"
    path.write_text(f'<meta name="covey" content="{html.escape(own.text)}">\n')
    (project / "stale.json").write_text(json.dumps(stale))
    result = covey("report")
    assert result.exit_code == 0
    first, second, third, *_, last = result.stdout.splitlines()
    assert first == f"Data set {data}; made 2026-01-31 12:00 UTC."
    assert second.startswith(said)
    assert third == "not applicable  transfer@rotation-knn: too few"
    assert last == str(path)


@pytest.mark.usefixtures("project")
def test_a_fault_of_the_project_does_not_keep_its_report_from_being_shown(monkeypatch):
    def load(_: Path) -> None:
        raise params.ParameterError("training.epochs: 'ten' is not of type int.")

    monkeypatch.setattr(params, "read", load)
    result = covey("report")
    assert result.exit_code == 0
    assert "cannot be told: training.epochs: 'ten' is not of type int." in result.stdout
    assert result.stdout.endswith("report.html\n")


@pytest.mark.parametrize("command", ["run", "status"])
def test_where_nothing_is_stale_nothing_slow_is_imported(project, command):
    (project / "stale.json").write_text("{}")
    code = f"""
import sys
from tests.flows import stand_in
from flows.cli import app
stand_in.install()
app([{command!r}], standalone_mode=False)
print(sorted({{"prefect", "mlflow", "torch", "fastapi"}} & set(sys.modules)))
"""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=project, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert not (project / ".covey" / "prefect").exists()


def test_a_server_ends_with_the_process_that_started_it(tmp_path):
    code = f"""
import time
from pathlib import Path
from flows.prefect_server import server
from tasks.project.project import Project
project = Project(Path({str(tmp_path)!r}))
server.settle(project)
print(server.start(project, server.free_port()).process.pid, flush=True)
time.sleep(60)
"""
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment) as starter:
        assert starter.stdout is not None
        server = psutil.Process(int(starter.stdout.readline()))
        starter.kill()
    server.wait(120)
