"""Ends a stage when a process that started it has ended. DVC, when killed, would leave its command running.

It is asked to end with TERM, so that it closes its record, and killed if it does not.

The chain of processes is flow -> dvc -> sh -> stage, or with a fork server flow -> dvc -> sh -> client ~ stage. Linux
signals the death of the parent (PR_SET_PDEATHSIG). The rest of the chain is checked four times a second.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1
CLIENT = "COVEY_CLIENT_PID"
"""Environment variable of a stage in a fork: the process id of its client, which is in the chain in its place."""

DVC = "COVEY_DVC_PID"
"""Environment variable of a stage whose DVC runs in a fork: the process id of that fork."""

PATCHED = "tasks.staleness.patched_dvc"
DVCS = ("dvc", PATCHED)
"""How a command line names DVC: its own command, and the module that starts it with Covey's changes."""

ENDING_SECONDS = 20.0
"""From TERM to KILL. The next start of the stage waits longer than this (WAIT_SECONDS in tasks/stage/run.py)."""


def die_with_parent() -> None:
    """Asks the kernel for SIGKILL when the parent thread of this process ends. Does nothing except on Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _chain() -> list[psutil.Process]:
    """The ancestors of this process, nearest first, up to the dvc that runs it; empty if there is no dvc."""
    start = psutil.Process(int(os.environ.get(CLIENT, os.getpid())))
    ancestors = start.parents()
    for position, process in enumerate(ancestors):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(os.path.basename(word) in DVCS for word in words[:3]):
            return ancestors[: position + 1]
    return []


def dvc_pid() -> int:
    """The process id of the dvc that runs this stage."""
    if DVC in os.environ:
        return int(os.environ[DVC])
    chain = _chain()
    if not chain:
        raise RuntimeError("this process was not started by dvc")
    return chain[-1].pid


def follow_the_chain() -> None:
    """Watches the ancestors up to dvc and the flow, if there are any. Ends this process when one of them ends."""
    watched = _chain() if "DVC_STAGE" in os.environ else []
    if flow := os.environ.get("COVEY_FLOW_PID"):
        try:
            watched.append(psutil.Process(int(flow)))
        except psutil.NoSuchProcess:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch() -> None:
        while all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in watched):
            time.sleep(0.25)

    def guarded() -> None:
        with suppress(psutil.NoSuchProcess):
            watch()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ENDING_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    if watched:
        threading.Thread(target=guarded, name="lifeline", daemon=True).start()
