"""The processes that this one has started: looked at without waiting for them, and ended with all that they started."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil

GRACE_SECONDS = 10.0


def end_children(spared: set[int], grace: float = GRACE_SECONDS) -> None:
    """Ends the process groups of this process's children, all but the spared.

    They get Ctrl-C's signal first: DVC then gives its locks back and leaves its files whole. Those still there after
    `grace` seconds are killed.
    """
    for number in (signal.SIGINT, signal.SIGKILL):
        told: set[int] = set()
        deadline = time.monotonic() + grace
        while (left := living_children() - spared) and time.monotonic() < deadline:
            for pid in left - told:
                _signal_group(pid, number)
            told |= left
            time.sleep(0.05)


def living_children() -> set[int]:
    """The process ids of children, without those that have ended and wait to be asked how.

    They are only looked at: to wait for one here would take its exit status from the thread that started it.
    """
    living = set()
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                living.add(child.pid)
    return living


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        group = os.getpgid(pid)
        if group != os.getpgrp():
            os.killpg(group, number)
        else:
            os.kill(pid, number)
