"""Calls that are carried out apart: in a fork of the fork server, which has the slow imports done, or in a new process.

A function "MODULE:NAME" is called with the project and arguments that JSON knows; so is what it returns.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.process import faults
from tasks.process.command import command_environment, run_command
from tasks.process.files import write_json
from tasks.process.fork_client import ADDRESS, Fork, fork_server, tell
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.stage.telling import foreign_errors

ANSWER = "COVEY_ANSWER"
"""Environment variable: the file for the answer of a call in a new process."""


class CallFailed(RuntimeError):
    """A call did not come to its end; the text says why, or is the end of what it said where nobody foresaw that."""


def call(project: Project, function: str, *arguments: Any, shown: bool = False) -> Any:
    """What a function returns that is carried out apart. shown: what it prints is seen while it works.

    Raises:
        ParameterError: as the function raised it.
        CallFailed: it ended in any other way, in words where they can be found.
    """
    words, environment = ["call", function, json.dumps(arguments)], command_environment({})
    with _output(shown) as output, tempfile.TemporaryDirectory() as folder:
        found = _in_fork(project, words, environment, output.fileno())
        if found is None:
            path = Path(folder) / "answer"
            command = [sys.executable, "-m", "tasks", *words]
            left_out = {name: value for name, value in environment.items() if name != ADDRESS}
            code = run_command(command, project.root, output, {**left_out, ANSWER: str(path)}, None, short=True)
            found = code, path.read_text() if path.exists() else ""
        code, text = found
        said = "" if shown else _said(output)
    answer = json.loads(text) if text else {}
    if "refused" in answer:
        raise ParameterError(answer["refused"])
    if "failed" in answer:
        raise CallFailed(answer["failed"])
    if code or "returned" not in answer:
        lines = said.splitlines() if faults.traced() else said.splitlines()[-12:]
        raise CallFailed("\n".join(lines) or f"{function} ended with exit code {code}")
    return answer["returned"]


@contextmanager
def _output(shown: bool) -> Iterator[Any]:
    """Where a call's output goes: to that of this process, or to a file that is read afterwards."""
    if shown:
        sys.stdout.flush()
        yield sys.__stdout__
    else:
        with tempfile.TemporaryFile() as file:
            yield file


def _said(output: Any) -> str:
    output.seek(0)
    return str(output.read().decode(errors="replace").strip())


def _in_fork(
    project: Project, words: list[str], environment: dict[str, str], output: int
) -> tuple[int | None, str] | None:
    """Exit code and answer of a call in a fork; None where there is no fork server, or it has just ended."""
    server = fork_server()
    if server is None:
        return None
    with suppress(OSError), Fork(server, words, project.root, environment, output, short=True) as fork:
        return fork.wait(), fork.answer
    return None


def main(arguments: list[str]) -> int:
    """`call MODULE:NAME ARGUMENTS` in the process that carries it out."""
    module, _, name = arguments[0].partition(":")
    os.environ["OMP_NUM_THREADS"] = "1"  # on a busy machine two threads wait for each other; all here is small
    project = Project(Path.cwd())
    try:
        answer = {"returned": getattr(import_module(module), name)(project, *json.loads(arguments[1]))}
    except ParameterError as error:
        answer = {"refused": str(error)}
    except Exception as error:
        fault = faults.explain(error, project.root, foreign=foreign_errors())
        if fault is None or faults.traced():
            raise
        answer = {"failed": fault.words}
    if ANSWER in os.environ:
        write_json(Path(os.environ[ANSWER]), answer)
    else:
        tell(json.dumps(answer))
    return 0
