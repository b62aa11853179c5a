"""A stage does not outlive those that started it: DVC, when killed, leaves its command running, and nobody would know.

The chain is flow -> dvc -> sh -> stage, or with a fork server flow -> dvc -> sh -> client ~ stage. Linux tells a
process of its parent's death at once (PR_SET_PDEATHSIG); the rest of the chain is looked at four times a second.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

import psutil

PR_SET_PDEATHSIG = 1
CLIENT = "COVEY_CLIENT_PID"
"""Set for a stage that runs in a forked process: the process that stands for it in the chain."""

DVC = "COVEY_DVC_PID"
"""Set for a stage whose dvc is itself a fork: that process."""


def die_with_parent() -> None:
    """Asks the kernel for SIGKILL when the parent thread of this process ends (Linux; elsewhere nothing)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _chain() -> list[psutil.Process]:
    """This process's ancestors, nearest first, up to the dvc that runs it; empty if none does."""
    start = psutil.Process(int(os.environ.get(CLIENT, os.getpid())))
    ancestors = start.parents()
    for position, process in enumerate(ancestors):
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(os.path.basename(word) == "dvc" for word in words[:3]):
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
    """Watches dvc, the shell between, and the flow, if there are any; kills this process when one of them is gone."""
    watched = _chain() if "DVC_STAGE" in os.environ else []
    if flow := os.environ.get("COVEY_FLOW_PID"):
        try:
            watched.append(psutil.Process(int(flow)))
        except psutil.NoSuchProcess:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch() -> None:
        while all(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in watched):
            time.sleep(0.25)
        os.kill(os.getpid(), signal.SIGKILL)

    def guarded() -> None:
        try:
            watch()
        except psutil.NoSuchProcess:
            os.kill(os.getpid(), signal.SIGKILL)

    if watched:
        threading.Thread(target=guarded, name="lifeline", daemon=True).start()
