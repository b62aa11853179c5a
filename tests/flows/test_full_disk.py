"""A disk that fills up in the course of a run: one line, no trace, and no attempt without hope."""

from pathlib import Path

import pytest
import typer

from flows import command, errors
from flows.run import engine
from tasks.process import disks
from tasks.process.files import UnreadableFile
from tasks.project.project import Project
from tasks.staleness.dvc_errors import StageFailed

FULL = "OSError: [Errno 28] No space left on device"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project.given(tmp_path, {})


def failed(monkeypatch: pytest.MonkeyPatch, project: Project, tail: str) -> StageFailed:
    def fail(*_: object, **__: object) -> None:
        raise StageFailed("prepare", "failed (exit code 1)", tail, Path("prepare.log"))

    monkeypatch.setattr(engine, "reproduce", fail)
    with pytest.raises(StageFailed) as caught:
        engine.Local(project).reproduce("prepare", timeout=None, environment={}, force=False)
    return caught.value


def test_dvc_s_trace_of_a_full_cache_becomes_a_line_and_is_final(project, monkeypatch):
    error = failed(monkeypatch, project, f'  File "generic.py", line 424, in test_links\n{FULL}')
    assert error.final
    assert error.tail.startswith("error: prepare: the disk that holds ")
    assert error.tail.endswith("free some, then `covey run` again")
    assert "\n" not in error.tail


def test_so_does_a_log_for_which_there_was_no_room(project, monkeypatch):
    monkeypatch.setattr(disks, "free", lambda _: 0)
    assert "(0 MB free)" in failed(monkeypatch, project, "").tail


def test_any_other_failure_stays_as_it_is_and_is_tried_again(project, monkeypatch):
    error = failed(monkeypatch, project, "Connection reset by peer")
    assert (error.tail, error.final) == ("Connection reset by peer", False)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), Exception("database or disk is full")])
@pytest.mark.usefixtures("project")
def test_a_command_that_finds_no_room_ends_with_a_line(capsys, error):
    with pytest.raises(typer.Exit) as ended, errors.refusals():
        raise error
    assert ended.value.exit_code == errors.FAILED
    said = capsys.readouterr().err
    assert said.startswith("covey: the disk that holds ")
    assert len(said.splitlines()) == 1


@pytest.mark.usefixtures("project")
def test_what_a_server_says_on_a_full_disk_is_not_shown_but_that(capsys, monkeypatch):
    monkeypatch.setattr(disks, "free", lambda _: 0)
    with pytest.raises(typer.Exit), errors.refusals():
        raise RuntimeError("Client error '500 Internal Server Error' for url")
    assert "(0 MB free)" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_a_damaged_file_is_a_line_and_an_exit_code_passes(capsys):
    with pytest.raises(typer.Exit), errors.refusals():
        raise UnreadableFile(Path("knn.json"), " cannot be read")
    assert capsys.readouterr().err == "covey: knn.json cannot be read\n"
    with pytest.raises(typer.Exit) as ended, errors.refusals():
        raise typer.Exit(errors.BUSY)
    assert ended.value.exit_code == errors.BUSY


@pytest.mark.usefixtures("project")
def test_errors_of_coveys_own_and_traces_asked_for_are_shown(monkeypatch):
    with pytest.raises(KeyError), errors.refusals():
        raise KeyError("x")
    monkeypatch.setenv("COVEY_TRACEBACK", "1")
    with pytest.raises(OSError, match="No space left"), errors.refusals():
        raise OSError(28, "No space left on device")


def test_a_run_without_room_for_its_databases_starts_no_server(project, monkeypatch):
    work = command.plan.Plan({}, ("prepare",), frozenset(), 1)
    for name in ("refuse_unusable", "close_dead"):
        monkeypatch.setattr(command.pipeline_run, name, lambda *_: None)
    monkeypatch.setattr(command.plan, "make", lambda *_, **__: work)
    monkeypatch.setattr(command, "_bring_up_to_date", lambda *_: pytest.fail("it was started"))
    monkeypatch.setattr(disks, "free", lambda _: disks.NEEDED - 1)
    with pytest.raises(OSError, match="No space left"):
        command.run(project, command.Asked())
    monkeypatch.setattr(disks, "free", lambda _: disks.NEEDED)
    (project.root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  prepare:\n    outs:\n")
    with pytest.raises(errors.ParameterError, match=r"git checkout dvc\.lock"):
        command.run(project, command.Asked())
