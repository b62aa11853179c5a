"""How far a reader is, for whoever waits: one line that is written over on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

EVERY, ON_TERMINAL = 5.0, 0.2
"""Seconds between two lines."""


class Progress:
    """Prints "decoding 12,400 of 20,000 pictures · 310/s · 0:24 left"; nothing of what takes less than a few seconds.

    doing, things: the words, such as "decoding" and "pictures". total: how many there are.
    """

    def __init__(self, doing: str, total: int, things: str) -> None:
        self._doing, self._total, self._things = doing, total, things
        self._done = 0
        self._started = self._shown = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._open = False

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        last = self._done == self._total and self._shown > self._started
        soon = now - self._started < EVERY or now - self._shown < (ON_TERMINAL if self._terminal else EVERY)
        if soon and not last:
            return
        self._shown, self._open = now, self._terminal
        line = self.line(now - self._started)
        print(f"\r{line}   " if self._terminal else line, end="" if self._terminal else "\n", flush=True)

    def close(self) -> None:
        """Ends the line, so that what is printed next stands on its own."""
        if self._open:
            print(flush=True)
        self._open = False

    def line(self, seconds: float) -> str:
        """What is said after so many seconds."""
        rate = self._done / seconds
        left = int((self._total - self._done) / rate)
        minutes = f"{left // 3600}:{left // 60 % 60:02d}" if left >= 3600 else f"{left // 60}"
        return (
            f"{self._doing} {self._done:,} of {self._total:,} {self._things} · {rate:,.0f}/s · "
            f"{minutes}:{left % 60:02d} left"
        )
