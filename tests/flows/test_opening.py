"""What every command does first: who runs it, and whether the project can be written and the records used."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import command, opening
from flows.cli import app
from flows.prefect_server import server
from flows.run import report
from tasks.process import user
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage import fork_server

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("USER", "LOGNAME", "LNAME", "USERNAME", "HOME")
UNKNOWN = 54321
COMMANDS = [["run"], ["run", "prepare", "--force"], ["ui"], ["serve"]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a user whom the system does not know and who has set nothing."""
    import pwd

    def missing(_: object) -> None:
        raise KeyError("getpwuid(): uid not found")

    for name in NAMES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", missing)


@pytest.mark.usefixtures("unknown")
def test_a_user_without_a_name_or_a_home_gets_both(project):
    with pytest.raises((KeyError, OSError)):
        getpass.getuser()
    with pytest.raises(RuntimeError):
        Path.home()
    assert opening.opened() == project
    assert getpass.getuser() == os.environ["LOGNAME"] == f"uid{os.getuid()}"
    assert Path.home() == project.state / "home"


def test_a_user_who_has_both_keeps_them(project, monkeypatch):
    monkeypatch.setenv("USER", "me")
    monkeypatch.setenv("LOGNAME", "me too")
    monkeypatch.setenv("HOME", "/somewhere")
    user.settle(project.state)
    assert [os.environ[name] for name in ("USER", "LOGNAME", "HOME")] == ["me", "me too", "/somewhere"]


def as_unknown(words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs Python as a user without a name. It may read everything: Python may lie in a folder of root's."""
    if os.getuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user, with setpriv")
    capabilities = [f"--{kind}-caps=+dac_read_search" for kind in ("inh", "ambient")]
    identity = ["setpriv", f"--reuid={UNKNOWN}", f"--regid={UNKNOWN}", "--clear-groups", *capabilities]
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    return subprocess.run(
        [*identity, sys.executable, "-c", words],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_dvc_opens_a_project_for_a_user_without_a_name_or_a_home(tmp_path):
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    (tmp_path / "dvc.yaml").touch()
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, UNKNOWN, UNKNOWN)
    words = "from dvc.repo import Repo; print(Repo().root_dir)"
    assert as_unknown(words, tmp_path).returncode == 1
    done = as_unknown(f"from flows.opening import opened; opened(); {words}", tmp_path)
    assert done.stdout.strip() == str(tmp_path), done.stderr


def test_a_project_of_another_user_is_named_before_anything_is_written(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / ".covey" / "locks").mkdir(parents=True)
    done = as_unknown("from flows.cli import app; app(['run'])", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"covey: {tmp_path} cannot be written (nor 2 more files and folders in it)")
    assert f"user {UNKNOWN}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words", [*COMMANDS, ["status"], ["sweep", "any"], ["study", "any"]], ids=" ".join)
def test_a_project_that_cannot_be_written_is_refused_with_a_line(project, monkeypatch, words):
    closed = [project.root, project.state / "locks" / "run.lock"]
    closed[1].parent.mkdir(parents=True)
    closed[1].touch()
    monkeypatch.setattr(user, "may", lambda path, _: path not in closed)
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith(f"covey: {project.root} cannot be written (nor 1 more files and folders in it)")


def test_a_report_is_shown_to_a_user_who_may_only_read(project, monkeypatch):
    monkeypatch.setattr(user, "may", lambda *_: False)
    monkeypatch.setattr(report.plan, "standing", lambda _: pytest.fail("DVC would write"))
    monkeypatch.setattr("tasks.reporting.terminal.terminal_table", lambda _: "the table")
    monkeypatch.setattr(Project, "parameters", {"data": {"name": "world"}})
    (project.root / "results").mkdir()
    (project.root / "results" / "report.html").touch()
    done = CliRunner().invoke(app, ["report"])
    assert done.exit_code == 0
    assert f"Whether it is up to date cannot be told: {project.root} cannot be written" in done.output
    assert "the table" in done.output


@pytest.mark.parametrize("name", ["a {b}", "a}", os.fsdecode(b"latin \xe9")])
def test_a_path_that_dvc_fails_on_is_refused(tmp_path, monkeypatch, name):
    root = tmp_path / name
    root.mkdir()
    (root / "dvc.yaml").touch()
    monkeypatch.chdir(root)
    with pytest.raises(ParameterError, match=r"the project's path .*; rename the folder") as refused:
        opening.opened()
    str(refused.value).encode()  # it can be printed


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_unusable_records_are_refused_before_a_server_starts(project, monkeypatch, words):
    started = []
    for module in (server, fork_server):
        monkeypatch.setattr(module, "running", lambda *_, **__: started.append(True))
    monkeypatch.setattr("tasks.settings.schedules.read", lambda _: {"nightly": None})
    monkeypatch.setattr(Project, "parameters", {})
    monkeypatch.setattr(command.plan, "make", lambda *_, **__: started.append(True))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (project.state / "mlflow.db").parent.mkdir(exist_ok=True)
    (project.state / "mlflow.db").write_bytes(b"\x07" * 3000)
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert refused.stderr.splitlines()[-1].startswith(
        f"covey: {project.state}/mlflow.db, which holds MLflow's records, is not an SQLite database. Restore it"
    )
    assert not started
