"""Locks between processes, by flock on a file. The system releases them when the process ends, also when killed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class LockedError(RuntimeError):
    """Another process holds the lock. owner: its process id as text."""

    def __init__(self, path: Path, owner: str) -> None:
        super().__init__(f"{path} is held by process {owner}")
        self.owner = owner


@contextmanager
def held(path: Path, *, wait: float | None = 0.0) -> Iterator[None]:
    """Holds the lock file `path` during the block, and writes the id of this process into it.

    wait: for how many seconds to wait for another holder; None waits without limit.

    Raises:
        LockedError: another process still holds the lock after that time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if wait is None:
            fcntl.flock(file, fcntl.LOCK_EX)
        elif not _taken(file.fileno(), wait):
            file.seek(0)
            raise LockedError(path, file.read().strip() or "unknown")
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def wait_until_free(path: Path) -> None:
    """Waits until no process holds the lock."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def _taken(file: int, wait: float) -> bool:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        else:
            return True
