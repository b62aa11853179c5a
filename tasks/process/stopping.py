"""The signals that ask a process to stop: Ctrl-C, TERM, and HUP, which a terminal sends when it is closed.

The first one raises `Stopped` in the main thread, so that records are closed and children ended on the way out. Later
ones do nothing: they would cut the ending off. `held` puts a signal off until a block is done. `Relay` is for a process
that only waits for another one: it passes the signals on.

Python drops an exception that is raised in a finaliser or in the callback of a weak reference. A signal that happens to
arrive there is sent once more.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 0.05
"""After this, a signal whose exception was dropped is sent once more."""

_told: list[int] = []
_waiting: list[int] = []
_holders = 0


class Stopped(KeyboardInterrupt):
    """A signal has asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number
        self.code = exit_code(number)


def exit_code(number: int) -> int:
    """The exit code of a process that a signal has stopped, as shells have it: 130 for Ctrl-C."""
    return 128 + number


def told() -> int | None:
    """The signal that has asked this process to stop; None if there was none."""
    return _told[0] if _told else None


def stop_main_thread() -> None:
    """Asks this process to stop from another thread, if it obeys signals; as TERM would."""
    thread = threading.main_thread().ident
    if thread is not None and callable(signal.getsignal(signal.SIGTERM)):
        signal.pthread_kill(thread, signal.SIGTERM)


@contextmanager
def obeyed(always: Collection[int] = ()) -> Iterator[None]:
    """Has the first signal of the block raise `Stopped`, and all later ones do nothing.

    A signal that was ignored stays so: what a script starts in the background ignores Ctrl-C, and `nohup` has HUP
    ignored. always: signals that are obeyed nevertheless. Does nothing in a thread other than the main one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    inner = _obey in before.values()
    if not inner:
        _told.clear()
        _waiting.clear()
    for number, handler in before.items():
        if handler is not signal.SIG_IGN or number in always:
            signal.signal(number, _obey)
    try:
        with _sent_again():
            yield
    finally:
        if not (inner and _told):  # else what Prefect put there would cut the ending off
            _restore(before)


@contextmanager
def held() -> Iterator[None]:
    """Puts a signal off until the end of the block, which is short and must not be cut in two."""
    global _holders
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _holders += 1
    try:
        yield
    finally:
        _holders -= 1
        if _waiting and not _holders:
            raise Stopped(_waiting.pop())


class Relay:
    """Passes the signals of the block on to another process, which ends first: the block waits for it."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._waiting: list[int] = []

    def __enter__(self) -> Relay:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            signal.signal(number, self._pass)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _restore(self._before)

    def to(self, pid: int) -> None:
        """The process that gets the signals from now on, and those that have come before."""
        self._pid = pid
        while self._waiting:
            self._pass(self._waiting.pop(0), None)

    def _pass(self, number: int, _frame: FrameType | None) -> None:
        if self._pid is None:
            self._waiting.append(number)
            return
        with suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _obey(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGHUP:
        _leave_closed_terminal()
    if _told:
        return
    _told.append(number)
    if _holders:
        _waiting.append(number)
    else:
        raise Stopped(number)


@contextmanager
def _sent_again() -> Iterator[None]:
    """Has a signal of the block whose exception is dropped sent once more."""
    before = sys.unraisablehook

    def hook(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, Stopped):
            before(dropped)
            return
        _told.clear()
        threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), dropped.exc_value.number)).start()

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _leave_closed_terminal() -> None:
    """Sends what is still printed nowhere: each write to a terminal that is gone would be an error."""
    for stream in (0, 1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode) and not os.isatty(stream):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, stream)
                os.close(nowhere)


def _restore(before: Mapping[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        if handler is not None:  # None: it was set by something other than Python
            signal.signal(number, handler)
