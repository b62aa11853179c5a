"""Runs commands, each in its own process group. The groups are killed when this process ends, whatever ends it."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

GRACE_SECONDS = 10.0
_groups: set[int] = set()
_short: set[int] = set()
_guard = threading.Lock()


def command_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process plus `extra`. This Python comes first in PATH: dvc.yaml calls `python`."""
    folder = os.path.dirname(sys.executable)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}


def run_command(
    command: list[str],
    folder: Path,
    output: Any,
    environment: Mapping[str, str],
    timeout: float | None,
    *,
    short: bool = False,
) -> int | None:
    """Runs a command; returns its exit code, or None after a timeout. Kills its group if this call ends before it.

    short: as in `known_group`.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )
    with known_group(process.pid, short=short):
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def known_group(pid: int, *, short: bool = False) -> Iterator[None]:
    """Registers a process group with `end_groups` while the block runs.

    short: it ends by itself within the grace time, and should not be cut in two: it closes a record, for instance.
    """
    with _guard:
        _groups.add(pid)
        if short:
            _short.add(pid)
    try:
        yield
    finally:
        with _guard:
            _groups.discard(pid)
            _short.discard(pid)


def end_groups(grace: float = GRACE_SECONDS) -> None:
    """Stops every registered group: first with SIGINT, so that DVC releases its locks, after `grace` s with SIGKILL.

    A group has ended when the thread that started it has left its `known_group` block.
    """
    for number in (signal.SIGINT, signal.SIGKILL):
        told: set[int] = set()
        deadline = time.monotonic() + grace
        while (left := _at_work()) and time.monotonic() < deadline:
            for pid in left - told - (_short if number == signal.SIGINT else set()):
                with suppress(ProcessLookupError):
                    os.killpg(pid, number)
            told |= left
            time.sleep(0.05)


def _at_work() -> set[int]:
    with _guard:
        return set(_groups)


_libc = ctypes.CDLL(None)  # loaded here: few calls are safe between fork and exec in a process with threads


def _die_with_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in what a script has started in the background
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
