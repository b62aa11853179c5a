"""Commands in process groups of their own, which end with this process however it ends."""

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
_guard = threading.Lock()


def command_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with this Python found first, since dvc.yaml says `python`."""
    folder = os.path.dirname(sys.executable)
    path = f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **extra}


def run_command(
    command: list[str], folder: Path, output: Any, environment: Mapping[str, str], timeout: float | None
) -> int | None:
    """Runs a command; its exit code, or None after a timeout. Whatever ends this call ends the command's group."""
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
    with known_group(process.pid):
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextmanager
def known_group(pid: int) -> Iterator[None]:
    """Counts a process group among those that `end_groups` ends, for the length of the block."""
    with _guard:
        _groups.add(pid)
    try:
        yield
    finally:
        with _guard:
            _groups.discard(pid)


def end_groups(grace: float = GRACE_SECONDS) -> None:
    """Ends every group that is at work: first as Ctrl-C would, so that DVC gives back its locks, then by force.

    A group counts as ended once the thread that started it has seen its end.
    """
    for number in (signal.SIGINT, signal.SIGKILL):
        told: set[int] = set()
        deadline = time.monotonic() + grace
        while (left := _at_work()) and time.monotonic() < deadline:
            for pid in left - told:
                with suppress(ProcessLookupError):
                    os.killpg(pid, number)
            told |= left
            time.sleep(0.05)


def _at_work() -> set[int]:
    with _guard:
        return set(_groups)


_libc = ctypes.CDLL(None)  # loaded beforehand: little is safe between a fork of a threaded process and its exec


def _die_with_parent() -> None:
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
