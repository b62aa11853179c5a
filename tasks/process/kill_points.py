"""Named points at which a test can kill a process, to check that no work is lost.

COVEY_KILL_AT="<point>:<victim>" sends SIGKILL at that point. The victim is `stage` (this process), `dvc` or `flow`
(the processes that run the stage, see tasks/process/parent_death.py). If the variable is unset, a point does nothing.
"""

from __future__ import annotations

import os
import signal
import time

from tasks.process.parent_death import dvc_pid

POINTS = (
    "before-checkpoint",
    "after-checkpoint",
    "before-output",
    "after-output",
    "before-metric",
    "after-metric",
    "before-record",
    "after-record",
)


def point(name: str) -> None:
    """Kills the victim if COVEY_KILL_AT names this point."""
    wanted, _, victim = os.environ.get("COVEY_KILL_AT", "").partition(":")
    if wanted != name:
        return
    if victim in ("", "stage"):
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(int(os.environ["COVEY_FLOW_PID"]) if victim == "flow" else dvc_pid(), signal.SIGKILL)
    time.sleep(60)  # the death of an ancestor must end this process
    raise RuntimeError(f"{victim} was killed, but this stage still runs")
