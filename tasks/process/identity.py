"""Who a process is, so that another one can tell later whether it still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int | None = None) -> dict[str, str | int]:
    """Host, boot, pid and start time of a process (this one if `pid` is None): together they never come back.

    Raises ProcessLookupError where no such process lives.
    """
    pid = os.getpid() if pid is None else pid
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(f"no process has the id {pid}")
    return {"host": socket.gethostname(), "boot": _boot(), "pid": pid, "started": started}


def is_alive(owner: Mapping[str, Any]) -> bool:
    """Whether the process that `identity` described still runs; one of another host is out of sight: taken as alive."""
    if owner["host"] != socket.gethostname():
        return True
    if owner["boot"] != _boot():
        return False
    return _started(int(owner["pid"])) == owner["started"]


def _boot() -> str:
    """Names this run of the kernel; empty where the system does not say (the start time then has to do)."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """The start of a living process: clock ticks since boot on Linux, else seconds since 1970. None: it is dead."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _started_portable(pid)
    # The second field is the command in parentheses and may hold blanks and parentheses itself, hence the last ")".
    fields = text.rpartition(")")[2].split()
    state, ticks = fields[0], fields[19]
    # A zombie has been killed already; only its parent has not looked yet.
    return None if state in "ZX" else ticks


def _started_portable(pid: int) -> str | None:
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
