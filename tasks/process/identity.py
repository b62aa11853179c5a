"""Identifies a process, so that another process can check later whether it still runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int | None = None) -> dict[str, str | int]:
    """Host, boot id, pid and start time of a process (this one if `pid` is None), which together are unique.

    Raises ProcessLookupError if no such process runs.
    """
    pid = os.getpid() if pid is None else pid
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(f"no process has the id {pid}")
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": started}


def is_alive(owner: Mapping[str, Any]) -> bool:
    """Whether the process with this `identity` still runs. Always True for a process of another host."""
    if owner["host"] != socket.gethostname():
        return True
    if owner["boot"] != _boot():
        return False
    return _started(int(owner["pid"])) == owner["started"]


def _boot() -> str:
    """The id of the current boot; empty if the system has none (the start time is then the only check)."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Start of a running process: clock ticks since boot on Linux, else seconds since 1970. None if it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_portable(pid)
    # The second field is the command in parentheses. It may contain spaces and parentheses: split at the last ")".
    fields = text.rpartition(")")[2].split()
    state, ticks = fields[0], fields[19]
    # A zombie has ended; its parent has not collected the exit code yet.
    return None if state in "ZX" else ticks


def _started_portable(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
