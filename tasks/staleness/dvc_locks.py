"""DVC's own locks: one on the project, held for moments, and a list of who reads and writes which file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

CLOCK_SECONDS = 2.0
"""By how much the start of a process, which the system counts from its boot, may differ from the clock of files."""


@contextmanager
def opened(root: Path) -> Iterator[Any]:
    """DVC's own object of the project, with its lock held."""
    from dvc.repo import Repo, lock_repo

    with Repo(str(root), _wait_for_lock=True) as repo, lock_repo(repo):
        _forget_dead(repo)
        yield repo


def _forget_dead(repo: Any) -> None:
    """Takes out of DVC's list of readers and writers those whose number another process has by now.

    DVC takes a number that is alive for the same process, and waits for it for ever: in a container that starts again
    every process has the number that another had. A process younger than the list cannot have written into it.
    """
    import psutil
    from dvc.rwlock import RWLOCK_FILE, _edit_rwlock

    path = Path(repo.tmp_dir) / RWLOCK_FILE
    try:
        written, content = path.stat().st_mtime, json.loads(path.read_text())
        pids = {user["pid"] for user in content["write"].values()}
        pids |= {user["pid"] for users in content["read"].values() for user in users}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return  # there is none, or it is for DVC to say what is wrong
    gone = set()
    for pid in pids:
        with suppress(psutil.Error, ValueError):
            if psutil.Process(pid).create_time() > written + CLOCK_SECONDS:
                gone.add(pid)
    if gone:
        with _edit_rwlock(repo.tmp_dir, repo.fs, repo.config["core"].get("hardlink_lock", False)) as lock:
            for file, user in list(lock["write"].items()):
                if user.get("pid") in gone:
                    del lock["write"][file]
            for file, users in list(lock["read"].items()):
                lock["read"][file] = [user for user in users if user["pid"] not in gone]
                if not lock["read"][file]:
                    del lock["read"][file]
