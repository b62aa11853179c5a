"""Named points at which a test may have a process killed, to show that nothing is lost there.

COVEY_KILL_AT="<point>:<victim>" sends SIGKILL at that point; victim is `stage` (this process), `dvc` or `flow` (the
process that runs it, see tasks/process/parent_death.py). Unset, as in all real work, a point does nothing.
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
    """Does nothing, unless a test asked for a kill at the point `name`."""
    wanted, _, victim = os.environ.get("COVEY_KILL_AT", "").partition(":")
    if wanted != name:
        return
    if victim in ("", "stage"):
        os.kill(os.getpid(), signal.SIGKILL)
    os.kill(int(os.environ["COVEY_FLOW_PID"]) if victim == "flow" else dvc_pid(), signal.SIGKILL)
    time.sleep(60)  # the kill of an ancestor must reach this process by itself
    raise RuntimeError(f"{victim} was killed, but this stage lives on")
