"""When each frame of a video is shown, and which is shown at the times that are wanted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ssl_models.datasets._video.clips import TOLERANCE

LONGEST = 600.0
"""Seconds that one frame may be shown, as the pages of a talk are; beyond it the clock is at fault."""
JITTER = 4.5
"""By how many frames' time one may be told to be shown before that which it follows; beyond it the clock was set back.
Frames that were coded in another order than they are shown in are told so by careless programs."""
USUAL = 1 / 25
"""Seconds that a frame is shown in a file that tells nothing of it."""

BACKWARD = "told to be shown before the frame ahead of it in parts; the order of the frames is kept"
RESET = "of a clock that jumps by minutes or back; the frames before and after it follow each other without a gap"
TIMELESS = "without times in parts; those frames follow each other at the rate of the header"


class Clock:
    """Gives every frame a time, none before that of the frame ahead of it.

    step: seconds that a frame is shown where it does not tell. remarks: gets what was amended.
    """

    def __init__(self, rate: float | None, remarks: dict[str, str]) -> None:
        self.step = 1 / rate if rate else USUAL
        self.remarks = remarks
        self._amended: dict[str, int] = {}
        self._moved = 0.0
        self._last: float | None = None

    def timed(self, frames: Iterable[Any]) -> Iterator[tuple[float, Any]]:
        """(seconds, frame) of each."""
        for frame in frames:
            self._last = self._next(frame.time)
            yield self._last, frame

    def _next(self, told: float | None) -> float:
        if told is None:
            self._amend(TIMELESS)
            return 0.0 if self._last is None else self._last + self.step
        if self._last is None:
            return told
        time = told + self._moved
        if time - self._last > LONGEST or time - self._last < -JITTER * self.step:
            self._amend(RESET)
            self._moved += self._last + self.step - time
            return self._last + self.step
        if time < self._last:
            self._amend(BACKWARD)
        return max(time, self._last)

    def _amend(self, why: str) -> None:
        self._amended[why] = number = self._amended.get(why, 0) + 1
        self.remarks[why] = f"{number:,} frame{'' if number == 1 else 's'}"


def shown(timed: Iterable[tuple[float, Any]], fps: float, step: float) -> Iterator[tuple[Any, int]]:
    """Each frame that is shown at one of the times 0, 1 / fps, 2 / fps ... after the first, and at how many of them.

    Variable rates need nothing else: a frame is shown until the next. The last is shown for as long as it tells, or for
    `step` seconds.
    """
    start, current, taken, time = 0.0, None, 0, 0.0
    for time, frame in timed:
        if current is None:
            start = time
        elif number := _before(time - start, fps) - taken:
            yield current, number
            taken += number
        current = frame
    if current is not None:
        own = float(current.duration * current.time_base) if current.duration and current.time_base else 0.0
        end = time - start + (own if 0 < own <= LONGEST else step)
        if number := _before(end, fps) - taken:
            yield current, number


def _before(seconds: float, fps: float) -> int:
    """How many of the times 0, 1 / fps, 2 / fps ... lie before `seconds`; those just before it do not count."""
    return max(0, -int(-(seconds - TOLERANCE) * fps // 1))
