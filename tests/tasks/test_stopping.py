"""Signals that ask to stop: the first is obeyed, later ones do not cut the ending off, and none is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tasks.process import stopping
from tasks.process.stopping import Relay, Stopped, held, obeyed
from tests.flows.waiting import wait_until


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in stopping.SIGNALS}
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
def test_the_first_signal_stops_and_later_ones_leave_the_ending_alone(number, code):
    ended = []

    def work() -> None:
        try:
            signal.raise_signal(number)
        finally:
            for later in stopping.SIGNALS:
                signal.raise_signal(later)
            ended.append(True)

    with pytest.raises(Stopped) as caught, obeyed():
        work()
    assert ended
    assert caught.value.code == code
    assert stopping.told() == number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_in_a_finaliser_where_python_drops_exceptions_is_obeyed_all_the_same():
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    before, dropped = sys.unraisablehook, []

    def work() -> None:
        item = Finalised()
        del item
        dropped.append(True)
        time.sleep(60)

    with pytest.raises(Stopped) as caught, obeyed():
        work()
    assert dropped == [True]
    assert caught.value.code == 143
    assert sys.unraisablehook is before


def test_a_signal_waits_for_the_end_of_what_must_not_be_cut_in_two():
    done = []

    def work() -> None:
        with held():
            signal.raise_signal(signal.SIGTERM)
            done.append("inner")
        done.append("outer")

    with pytest.raises(Stopped), obeyed(), held():
        work()
    assert done == ["inner", "outer"]
    with obeyed(), held():
        assert stopping.told() is None


def test_a_signal_that_waited_is_not_lost_to_an_error():
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise OSError("the disk is full")

    with pytest.raises(Stopped) as caught, obeyed(), held():
        work()
    assert isinstance(caught.value.__context__, OSError)


def test_what_is_ignored_stays_ignored_unless_it_must_be_obeyed():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a script has it for what it starts in the background
    with obeyed():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGINT)
    assert stopping.told() is None
    with pytest.raises(Stopped), obeyed(always=(signal.SIGINT,)):
        signal.raise_signal(signal.SIGINT)


def test_a_handler_that_a_library_has_put_between_is_put_aside_until_the_end():
    raised = []
    with suppress(Stopped), obeyed():
        signal.signal(signal.SIGTERM, lambda *_: raised.append("library"))
        try:
            with obeyed():
                signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
    assert stopping.told() == signal.SIGTERM
    assert not raised


def test_another_thread_can_ask_this_process_to_stop():
    def wait() -> None:
        threading.Timer(0.05, stopping.stop_main_thread).start()
        threading.Event().wait(60)

    with pytest.raises(Stopped), obeyed():
        wait()


def test_a_relay_passes_on_what_came_before_and_after_the_process_was_known(tmp_path):
    told = tmp_path / "told"
    script = (
        f"trap 'echo first >> {told}' TERM; trap 'echo last >> {told}; exit 3' INT; echo; while :; do sleep 0.02; done"
    )
    with Relay() as relay:
        signal.raise_signal(signal.SIGTERM)
        with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as process:
            assert process.stdout is not None
            process.stdout.readline()  # the traps are set
            relay.to(process.pid)
            wait_until(told.exists)
            signal.raise_signal(signal.SIGINT)
            assert process.wait() == 3
    assert told.read_text() == "first\nlast\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


CLOSED = """
import os, signal, sys, time
from tasks.process.stopping import Stopped, obeyed
with obeyed():
    try:
        print("at work", flush=True)
        time.sleep(600)
    except Stopped as stop:
        print("last words", flush=True)
        print("last words", file=sys.stderr, flush=True)
        os._exit(stop.code)
"""


def test_words_to_a_terminal_that_is_closed_are_no_error():
    pid, terminal = os.forkpty()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", CLOSED])
    assert b"at work" in os.read(terminal, 100)
    time.sleep(0.05)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 129
