from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.process import identity


def test_this_process_lives_and_another_has_another_identity() -> None:
    mine = identity.identity()
    assert mine["pid"] == os.getpid()
    assert identity.is_alive(mine)
    assert identity.identity(os.getppid()) != mine


def test_a_killed_process_is_dead_already_as_a_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    owner = identity.identity(child.pid)
    assert identity.is_alive(owner)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is still in the table
    assert not identity.is_alive(owner)
    child.wait()
    assert not identity.is_alive(owner)
    with pytest.raises(ProcessLookupError, match=str(child.pid)):
        identity.identity(child.pid)


@pytest.mark.parametrize(
    ("change", "alive"),
    [({"host": "elsewhere"}, True), ({"boot": "an earlier one"}, False), ({"started": "1"}, False)],
    ids=["another host", "before a reboot", "the id was given out again"],
)
def test_what_else_differs(change: dict[str, str], alive: bool) -> None:
    assert identity.is_alive(identity.identity() | change) is alive


def test_a_command_with_blanks_and_parentheses_does_not_shift_the_fields(tmp_path: Path) -> None:
    program = tmp_path / "a ) b (c"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "60"])
    try:
        assert str(identity.identity(child.pid)["started"]).isdigit()
        assert identity.is_alive(identity.identity(child.pid))
    finally:
        child.kill()
        child.wait()


def test_the_portable_way_tells_the_same() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = identity._started_portable(child.pid)
    assert started == identity._started_portable(child.pid)
    child.kill()
    child.wait()
    assert identity._started_portable(child.pid) is None
