"""A lock is held by one process, names it, and is free again however that process ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tasks.process.locks import LockedError, held, wait_until_free

HOLD = """
import sys, time
from pathlib import Path
from tasks.process.locks import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "locks" / "stage.lock"


@pytest.fixture
def holder(lock):
    """Another process that holds the lock."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, env=environment)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_names_its_holder_and_is_free_after_the_block(lock):
    lock.parent.mkdir()
    lock.write_text("a much longer text that an earlier holder left")
    with held(lock):
        assert lock.read_text() == str(os.getpid())
        with pytest.raises(LockedError, match=f"stage.lock is held by process {os.getpid()}"), held(lock):
            pass
    with held(lock):
        pass


def test_a_lock_is_free_after_an_error(lock):
    with pytest.raises(KeyError), held(lock):
        raise KeyError
    with held(lock):
        assert lock.read_text() == str(os.getpid())


def test_another_process_is_named_and_waited_for_as_long_as_is_said(lock, holder):
    started = time.monotonic()
    with pytest.raises(LockedError) as error, held(lock):
        pass
    assert error.value.owner == str(holder.pid)
    with pytest.raises(LockedError), held(lock, wait=0.2):
        pass
    assert 0.2 <= time.monotonic() - started < 60


@pytest.mark.parametrize("wait", [30.0, None])
def test_a_killed_holder_gives_the_lock_back_to_one_who_waits(lock, holder, wait):
    timer = threading.Timer(0.3, holder.send_signal, [signal.SIGKILL])
    timer.start()
    with held(lock, wait=wait):
        assert holder.wait(5) == -signal.SIGKILL
        assert lock.read_text() == str(os.getpid())


def test_who_only_waits_goes_on_once_it_is_free_and_holds_nothing(lock, holder):
    timer = threading.Timer(0.3, holder.send_signal, [signal.SIGKILL])
    timer.start()
    wait_until_free(lock)
    assert holder.wait(5) == -signal.SIGKILL
    with held(lock):
        pass
