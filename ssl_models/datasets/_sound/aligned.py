"""Decodes the sound of a video in time with its pictures: sample 0 is heard when the first picture is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import media
from ssl_models.datasets._sound.decoding import NO_SAMPLE, odd, opened
from ssl_models.datasets._sound.frames import Converter
from ssl_models.datasets._video.decoding import FORMATS

SMALLEST, LARGEST = 0.05, 600.0
"""Seconds by which sound may be behind its times: shorter ones are what times are rounded by, and beyond longer ones
the clock is at fault, as _video/times.py has it."""
BACK = 0.2
"""Seconds by which times may go back from one frame to the next; beyond them the clock was set back."""
PIECE = 2**15
"""Samples of silence that are made at once."""

FILLED = "interrupted; the gaps are filled with silence"
DROPPED = "longer than its times tell in parts; what is too much is left out"
JUMPS = "of a clock that jumps by minutes or back; what is before and after it follows without a gap"
LATE = "late; silence is before it"


class Sound:
    """What is heard from the first picture on, decoded as far as it is asked for.

    late: samples of silence before it begins. total: how many have been decoded. remarks: what is odd about it -> how
    much.
    """

    def __init__(self, pieces: Iterator[ndarray], converter: Converter, rate: int, late: int) -> None:
        self.total, self.late = 0, max(0, late)
        self._remarks: dict[str, str] = {LATE: f"{late / rate:.2f} s"} if late > SMALLEST * rate else {}
        self._converter, self._rate = converter, rate
        self._before = max(0, -late)
        self._pieces = chain(_zeros(self.late), pieces)
        self._held = np.empty(0, np.int16)
        self._heard = False

    def window(self, begin: int, size: int) -> ndarray:
        """(S,) int16 of so many samples from `begin` on, fewer where it ends. No window begins before the last one."""
        while self.total < begin + size and (piece := next(self._pieces, None)) is not None:
            cut = min(self._before, len(piece))
            self._before -= cut
            self._held = np.concatenate([self._held[self._dropped(begin) :], piece[cut:]])
            self.total += len(piece) - cut
            self._heard |= bool(piece[cut:].any())
        self._held = self._held[self._dropped(begin) :]
        return self._held[:size]

    def remarks(self) -> dict[str, str]:
        """Of what has been decoded."""
        return self._remarks | odd(self._converter, self._heard, self.total / self._rate)

    def _dropped(self, begin: int) -> int:
        """How many of the samples that are held lie before `begin`."""
        return min(len(self._held), max(0, begin - (self.total - len(self._held))))


@contextmanager
def sound_from(content: Path | bytes, rate: int, start: float, remarks: dict[str, str]) -> Iterator[Sound]:
    """The sound at `rate` Hz from `start` on, in seconds by the clock of the file, which the pictures go by as well.

    What is heard before is left out. Silence fills the time before a sound that begins later, and gaps on the way;
    what is more than its times tell is left out. So no frame of it begins more than SMALLEST off its time, unless the
    clock jumps. Any format that video is read of, and a file of any size. remarks: gets what is odd about the file.
    Raises ValueError as `decode` of _sound/decoding.py.
    """
    with opened(content, FORMATS, most=None) as (_, container, stream):
        frames = media.decoded(container, stream, remarks)
        if (first := next(frames, None)) is None:
            raise ValueError(NO_SAMPLE)
        begins = start if first.time is None else first.time
        converter = Converter(rate)
        with closing(converter.all(in_time(chain([first], frames), begins, remarks))) as pieces:
            yield Sound(pieces, converter, rate, round((begins - start) * rate))


def in_time(frames: Iterator[Any], begins: float, remarks: dict[str, str]) -> Iterator[Any]:
    """The frames, with silent ones between them and without parts of them, so that each is heard at its time.

    Small gaps add up, and are filled once they are more than SMALLEST together. begins: time of the first, in seconds.
    """
    expected = ends = begins  # by the samples that were given; by what the last frame tells
    moved = filled = dropped = 0.0
    for frame in frames:
        told = ends if frame.time is None else frame.time
        if not -BACK <= told - ends <= LARGEST:
            remarks.setdefault(JUMPS, f"first at {expected - begins:.2f} s")
            moved += ends - told
        behind = 0.0 if frame.time is None else told + moved - expected
        ends = told + frame.samples / frame.sample_rate
        kept = frame
        if behind > SMALLEST:
            yield from _silence(frame, behind)
            filled += behind
            expected += behind
            remarks[FILLED] = f"{filled:.2f} s"
        elif behind < -SMALLEST:
            kept = _without_first(frame, round(-behind * frame.sample_rate))
            dropped += ((frame.samples - kept.samples) if kept else frame.samples) / frame.sample_rate
            remarks[DROPPED] = f"{dropped:.2f} s"
        if kept:
            expected += kept.samples / kept.sample_rate
            yield kept


def _zeros(count: int) -> Iterator[ndarray]:
    for first in range(0, count, PIECE):
        yield np.zeros(min(PIECE, count - first), np.int16)


def _silence(like: Any, seconds: float) -> Iterator[Any]:
    import av

    left = round(seconds * like.sample_rate)
    while left:
        samples = min(left, like.sample_rate)
        frame = av.AudioFrame(like.format.name, like.layout.name, samples, align=1)
        for plane in frame.planes:
            plane.update((b"\x80" if like.format.name.startswith("u8") else b"\0") * plane.buffer_size)
        frame.sample_rate = like.sample_rate
        yield frame
        left -= samples


def _without_first(frame: Any, count: int) -> Any:
    """The rest of a frame behind so many samples; None where there is none."""
    import av

    if count >= frame.samples:
        return None
    first = count if frame.format.is_planar else count * frame.layout.nb_channels
    values = np.ascontiguousarray(frame.to_ndarray()[:, first:])
    rest = av.AudioFrame.from_ndarray(values, format=frame.format.name, layout=frame.layout.name)
    rest.sample_rate = frame.sample_rate
    return rest
