"""How many cores there are to compute on. It imports no torch."""

from __future__ import annotations

import os


def cores() -> int:
    """How many cores this process may use: those that it is bound to, where the system binds processes to cores."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
