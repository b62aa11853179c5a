"""One stage brought up to date: by DVC in a fork of the fork server, or, where there is none, by DVC's own command."""

from __future__ import annotations

import logging
import math
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from tasks.process import memory_kills
from tasks.process.command import command_environment, run_command
from tasks.process.fork_client import Fork, fork_server, tell
from tasks.process.parent_death import DVC, PATCHED
from tasks.process.stopping import Relay
from tasks.project.project import Project
from tasks.settings import memory_advice
from tasks.staleness import declaration, dvc_cache, dvc_internals, lock_file, outputs, pipeline
from tasks.staleness.dvc_errors import MEND, StageFailed, is_locked, is_torn
from tasks.staleness.graph import Stage

LOCK_ATTEMPTS = 20
REFUSED = 2
"""Exit code of a stage that would end so again."""
AGAIN = 75
"""Exit code of a stage that is to run again at once: DVC's cache has been mended."""
MENDINGS = 3
"""How often: a folder's own object first, then those of its files, which only a whole one tells."""


def reproduce(
    project: Project,
    name: str,
    *,
    timeout: float | None = None,
    environment: Mapping[str, str] = {},
    force: bool = False,
) -> str:
    """Brings one stage up to date; what it prints goes to the stage's log.

    Returns "ran", "unchanged" (its inputs came out as they were) or "restored" (from DVC's run cache). After `timeout`
    seconds the stage and dvc are killed. force: run it though nothing has changed, from the start.

    Raises:
        StageFailed: it did not end well.
    """
    if force:
        project.forget_work(name)
    log = project.log(name)
    mended: list[str] = []
    kills = memory_kills.count()
    for attempt in range(LOCK_ATTEMPTS):
        with open(log, "wb") as output:
            output.write("".join(f"{line}\n" for line in mended).encode())
            output.flush()
            code, outcome = _attempt(project, name, output, command_environment(environment), timeout, force)
        text = log.read_text(errors="replace")
        if code == AGAIN and len(mended) < MENDINGS:
            mended.append(text.strip().splitlines()[-1])
            continue
        if code == 0 or not is_locked(text):
            break
        time.sleep(0.2 + 0.1 * attempt)
    if code != 0:
        reason = f"took longer than {timeout:.0f} s" if code is None else f"failed (exit code {code})"
        tail = "\n".join(text.strip().splitlines()[-12:]) + (f"\n{MEND}" if is_torn(text) else "")
        short = memory_kills.is_kill(code, text) and memory_kills.count() > kills
        if memory_kills.is_kill(code, text):
            advice = memory_advice.advice(project.parameters, name)
            tail += f"\nerror: {name}: {memory_kills.sentence(advice, certain=short)}"
        raise StageFailed(name, reason, tail, log, final=short or code == REFUSED or _refused(text))
    return outcome or _outcome(text)


def _attempt(
    project: Project, name: str, output: Any, environment: dict[str, str], timeout: float | None, force: bool
) -> tuple[int | None, str]:
    """The exit code, None after a timeout, and the outcome where the fork server told it."""
    if (server := fork_server(environment)) and dvc_internals.usable():
        words = ["reproduce", name, *(["--force"] if force else [])]
        with suppress(OSError), Fork(server, words, project.root, environment, output.fileno()) as fork:
            return fork.wait(timeout), fork.answer
    return _by_command(project, name, output, environment, timeout, force), ""


def _by_command(
    project: Project, name: str, output: Any, environment: dict[str, str], timeout: float | None, force: bool
) -> int | None:
    """The same by DVC's own command: what it has recorded is looked at afterwards, and taken back if it is wrong."""
    stage = pipeline.stage(project.root, name)
    try:
        outputs.refuse_foreign(project, stage)
    except outputs.ForeignFilesError as error:
        output.write(f"error: {name}: {error}\n".encode())
        return REFUSED
    began = time.time()
    outputs.claim(project, stage)
    command = [sys.executable, "-m", PATCHED, "repro", "--single-item", name, *(["--force"] if force else [])]
    if code := run_command(command, project.root, output, environment, timeout):
        return code
    outcome = _outcome(project.log(name).read_text(errors="replace"))
    try:
        if outcome == "ran":
            _confirm(project, name)
        _settle(project, stage, outcome, began)
    except dvc_internals.InputsChanged as error:
        dvc_internals.forget(project.root, name, began)
        output.write(f"error: {name}: {error}\n".encode())
        return 1
    except dvc_cache.DamagedObjects as error:
        output.write(f"error: {name}: {error}\n".encode())
        return AGAIN
    return 0


def _settle(project: Project, stage: Stage, outcome: str, began: float) -> None:
    """Notes what a stage has written. Raises DamagedObjects for what was taken from a cache that is damaged."""
    if outcome != "unchanged":
        dvc_cache.refuse_damaged(project.root, stage.name, began if outcome == "ran" else math.inf)
    outputs.settle(project, stage)


def _confirm(project: Project, name: str) -> None:
    """Raises InputsChanged where a stage's inputs are not what it read."""
    inputs = declaration.noted(project, name)  # a command that is not Covey's notes nothing
    if inputs is not None and (changed := declaration.changed(project, name, inputs)):
        raise dvc_internals.InputsChanged(changed)


def _refused(log: str) -> bool:
    """Whether DVC says that the command itself ended with that code."""
    return re.search(rf"exited with {REFUSED}\b", log) is not None


def _outcome(log: str) -> str:
    """What DVC's own command says that it has done."""
    if "Running stage" in log:
        return "ran"
    return "restored" if "is cached - skipping run" in log else "unchanged"


def main(arguments: list[str]) -> int:
    """`reproduce STAGE [--force]` in a fork of the fork server; prints what DVC says; returns its exit code."""
    from dvc.exceptions import DvcException
    from dvc.logger import setup

    name, force, project = arguments[0], "--force" in arguments, Project(Path.cwd())
    setup(logging.INFO)
    began = time.time()
    try:
        stage = pipeline.stage(project.root, name)
        outputs.refuse_foreign(project, stage)
        outcome = dvc_internals.reproduce(
            project.root,
            name,
            force=force,
            run=partial(_run_here, project, stage),
            confirm=partial(_confirm, project, name),
        )
        _settle(project, stage, outcome, began)
    except outputs.ForeignFilesError as error:
        print(f"error: {name}: {error}", flush=True)
        return REFUSED
    except (dvc_internals.InputsChanged, dvc_cache.DamagedObjects) as error:
        print(f"error: {name}: {error}", flush=True)
        return AGAIN if isinstance(error, dvc_cache.DamagedObjects) else 1
    except (DvcException, lock_file.OddLockFile) as error:
        cause = f" - {error.__cause__}" if error.__cause__ else ""
        print(f"ERROR: {error}{cause}", flush=True)
        return 1
    tell(outcome)
    return 0


def _run_here(project: Project, stage: Stage, command: str, environment: dict[str, str]) -> int:
    """A stage's command: one of Covey's own in a fork of the same server, any other in a shell.

    Signals go on to the stage: it has its end to write, and DVC waits for it.
    """
    words = shlex.split(command)
    server = fork_server(environment) if words[:3] == ["python", "-m", "tasks"] else None
    with Relay() as relay:
        if server is None:  # it is in this process's group, and gets the group's signals itself
            outputs.claim(project, stage)  # a stage of Covey's does so itself
            return subprocess.run(command, shell=True, env=environment, check=False).returncode
        with Fork(server, words[3:], Path.cwd(), {**environment, DVC: str(os.getpid())}, 1, 2) as fork:
            relay.to(fork.pid)
            return fork.wait() or 0
