"""Calls that are carried out apart, in a new process and in a fork: what comes back, and what a failure says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tasks.process.fork_client import ADDRESS
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage.apart import CallFailed, call

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without a fork server: each call is a new process."""
    path = os.pathsep.join(filter(None, [str(CHECKOUT), os.environ.get("PYTHONPATH")]))
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.delenv(ADDRESS, raising=False)
    return Project(tmp_path)


@pytest.fixture(params=["process", "fork"])
def project(request: pytest.FixtureRequest, alone: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    if request.param == "fork":
        environment = request.getfixturevalue("fork")
        if not environment:
            pytest.skip("forks are for Linux")
        monkeypatch.setenv(ADDRESS, environment[ADDRESS])
    return alone


def answer(project: Project, *arguments: Any) -> dict[str, Any]:
    print("said on the way")
    return {"root": str(project.root), "arguments": arguments, "pid": os.getpid()}


def nothing(_: Project) -> None:
    pass


def refuse(_: Project) -> NoReturn:
    raise ParameterError("training.epochs: 'ten' is not of type int.\nNor is 'élf'.")


def fail(_: Project) -> NoReturn:
    for number in range(20):
        print(f"line {number}")
    sys.stdout.flush()
    raise KeyError("nobody foresaw this")


def meet_silence(_: Project) -> NoReturn:
    raise OSError("the server does not answer")


def vanish(_: Project) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(_: Project) -> NoReturn:
    sys.exit(0)


def test_a_call_returns_what_the_function_returns(project):
    arguments = [1, [2.5, None], {"name": "trois\nquätre"}]
    found = call(project, f"{__name__}:answer", *arguments)
    assert (found["root"], found["arguments"]) == (str(project.root), arguments)
    assert found["pid"] != os.getpid()
    assert call(project, f"{__name__}:nothing") is None


def test_a_parameter_that_cannot_be_used_is_raised_as_the_function_raised_it(project):
    with pytest.raises(ParameterError) as caught:
        call(project, f"{__name__}:refuse")
    assert str(caught.value) == "training.epochs: 'ten' is not of type int.\nNor is 'élf'."


def test_any_other_error_comes_with_the_end_of_what_was_said(project):
    with pytest.raises(CallFailed) as caught:
        call(project, f"{__name__}:fail")
    lines = str(caught.value).splitlines()
    assert lines[-1] == "KeyError: 'nobody foresaw this'"
    assert len(lines) == 12


def test_an_error_of_the_machine_comes_in_its_own_words_unless_a_trace_is_asked_for(project, monkeypatch):
    with pytest.raises(CallFailed) as caught:
        call(project, f"{__name__}:meet_silence")
    assert str(caught.value) == "the server does not answer"
    monkeypatch.setenv("COVEY_TRACEBACK", "1")
    with pytest.raises(CallFailed, match=r"(?s)Traceback.*OSError: the server does not answer$"):
        call(project, f"{__name__}:meet_silence")


@pytest.mark.parametrize("function", [vanish, leave])
def test_a_call_that_ends_without_an_answer_has_failed(project, function):
    with pytest.raises(CallFailed, match=rf"test_apart:{function.__name__} ended with exit code -?\d+$"):
        call(project, f"{__name__}:{function.__name__}")


def test_a_function_that_there_is_not_is_named(project):
    with pytest.raises(CallFailed, match=r"No module named 'tasks\.nowhere'"):
        call(project, "tasks.nowhere:at_all")


def test_a_fork_server_that_has_ended_is_done_without(alone, monkeypatch):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    monkeypatch.setenv(ADDRESS, f"{ended.pid}:nobody")
    assert call(alone, f"{__name__}:answer", "a")["arguments"] == ["a"]
