"""Processes that the kernel has killed because memory had run out: they can say nothing of it themselves."""

from __future__ import annotations

import re
import signal
from pathlib import Path

COUNTERS = Path("/proc/vmstat")
CODES = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""The exit codes of a process that SIGKILL has ended, as Python and as a shell tell it."""


def count() -> int:
    """How many processes the kernel has killed for want of memory since it started; 0 where it does not count them."""
    try:
        found = re.search(r"^oom_kill (\d+)$", COUNTERS.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def is_kill(code: int | None, log: str = "") -> bool:
    """Whether an exit code, or DVC in its log, tells of SIGKILL."""
    said = (int(number) for number in re.findall(r"exited with (-?\d+)\b", log))
    return code in CODES or any(number in CODES for number in said)


def sentence(advice: str, *, certain: bool) -> str:
    """What an end by SIGKILL means. certain: the kernel's counter has risen meanwhile."""
    if certain:
        return f"out of memory: the kernel killed a process; {advice}"
    return f"killed from outside (SIGKILL); if memory had run out, {advice}"
