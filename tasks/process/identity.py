"""Identifies a process, so that another process can check later whether it still runs."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
MACHINE_ID = Path("/etc/machine-id")
NAMESPACE = Path("/proc/self/ns/pid")
MOUNTS = Path("/proc/self/mountinfo")
LOCAL = frozenset(
    "apfs bcachefs btrfs ext2 ext3 ext4 f2fs jfs overlay ramfs reiserfs rootfs tmpfs xfs zfs".split()  # noqa: SIM905
)
"""File systems that one machine has mounted at a time. Of all others it is not known."""


def identity(pid: int | None = None) -> dict[str, str | int]:
    """What tells a process (this one if `pid` is None) from every other.

    host, machine: the names of where it runs. A container has a new host name at each start, and often the machine id
    of its image. boot, namespace: the current boot, and within it the set of processes that can see each other, such
    as a container's. pid, started: which one of these.

    Raises ProcessLookupError if no such process runs.
    """
    pid = os.getpid() if pid is None else pid
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(f"no process has the id {pid}")
    return {**_here(), "pid": pid, "started": started}


def is_alive(owner: Mapping[str, Any], *, alone: bool = False) -> bool:
    """Whether the process with this `identity` still runs. True where that cannot be known.

    alone: only processes of this machine write where `owner` was found (see `is_local`). Then a process of an earlier
    boot is dead whatever its host was called. So is one that cannot be seen from here though it is of this boot: its
    container has ended, or its work is kept apart by the project's locks, which hold between containers.

    A folder that several machines share is never alone: a process of another machine counts as alive, and what it has
    left open after a crash stays open until that machine looks at it.
    """
    here = _here()
    if not here["boot"] or not owner["boot"]:
        return owner["host"] != here["host"] or _runs(owner)
    if owner["boot"] != here["boot"]:
        rebooted = all(owner.get(name, here[name]) == here[name] for name in ("host", "machine"))
        return not alone and not rebooted
    if owner.get("namespace", here["namespace"]) != here["namespace"]:
        return not alone
    return _runs(owner) or ("namespace" not in owner and owner["host"] != here["host"] and not alone)


def is_local(path: Path) -> bool:
    """Whether the file system of a path can only be mounted on one machine at a time; False where it is not known."""
    try:
        lines = MOUNTS.read_text().splitlines()
        place = path.resolve()
    except OSError:
        return False
    kinds: dict[Path, str] = {}
    for line in lines:
        before, _, after = line.partition(" - ")
        kinds[Path(re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), before.split()[4]))] = after.split()[0]
    mounted = next((folder for folder in (place, *place.parents) if folder in kinds), None)
    return mounted is not None and kinds[mounted] in LOCAL


def _here() -> dict[str, str | int]:
    try:
        namespace = os.readlink(NAMESPACE)
    except OSError:
        namespace = ""
    return {
        "host": socket.gethostname(),
        "machine": _first_line(MACHINE_ID),
        "boot": _first_line(BOOT_ID),
        "namespace": namespace,
    }


def _first_line(path: Path) -> str:
    """Empty if the system has no such file."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _runs(owner: Mapping[str, Any]) -> bool:
    return _started(int(owner["pid"])) == owner["started"]


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
