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


EARLIER, ELSEWHERE, APART = {"boot": "earlier"}, {"host": "elsewhere", "machine": "other"}, {"namespace": "pid:[1]"}


@pytest.mark.parametrize(
    ("change", "alone", "shared"),
    [
        ({}, True, True),
        ({"started": "1"}, False, False),
        ({"host": "elsewhere"}, True, True),
        ({"host": "elsewhere", "started": "1"}, False, False),
        (EARLIER, False, False),
        (EARLIER | ELSEWHERE, False, True),
        (EARLIER | {"machine": "other"}, False, True),
        (APART, False, True),
        (APART | ELSEWHERE, False, True),
    ],
    ids=[
        "the same",
        "its id was given out again",
        "the host has a new name",
        "the host has a new name and the process is gone",
        "before a reboot",
        "before a reboot under another name, or of another machine",
        "before a reboot, or of another machine of this name",
        "a container of this machine",
        "a container of this machine with another name",
    ],
)
def test_who_lives(change: dict[str, str], alone: bool, shared: bool) -> None:
    """alone: found where only this machine writes; shared: found where other machines write too."""
    owner = identity.identity() | change
    assert identity.is_alive(owner, alone=True) is alone
    assert identity.is_alive(owner, alone=False) is shared


def test_a_note_without_a_namespace_is_judged_by_its_host_as_before() -> None:
    gone = {name: value for name, value in identity.identity().items() if name not in ("namespace", "machine")}
    gone |= {"started": "1"}
    assert not identity.is_alive(gone)
    assert not identity.is_alive(gone | {"host": "a container's"}, alone=True)
    assert identity.is_alive(gone | {"host": "a container's"})


def test_a_system_without_boot_ids_goes_by_the_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(identity, "BOOT_ID", tmp_path / "none")
    mine = identity.identity()
    assert identity.is_alive(mine, alone=True)
    assert not identity.is_alive(mine | {"started": "1"})
    assert identity.is_alive(mine | {"started": "1", "host": "elsewhere"})


@pytest.mark.parametrize(
    ("kind", "local"), [("ext4", True), ("overlay", True), ("nfs4", False), ("fuse.sshfs", False), ("9p", False)]
)
def test_the_file_system_tells_whether_other_machines_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, local: bool
) -> None:
    project = tmp_path / "my project"
    project.mkdir()
    mounts = tmp_path / "mountinfo"
    there = str(project).replace(" ", r"\040")
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda rw\n2 1 0:5 / {there} rw shared:1 - {kind} source rw\n")
    monkeypatch.setattr(identity, "MOUNTS", mounts)
    assert identity.is_local(project / "below") is local
    assert identity.is_local(tmp_path)
    mounts.unlink()
    assert not identity.is_local(tmp_path), "unknown is not local"


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
