"""Decodes the sound of a video in time with its pictures: sample 0 is heard when the first picture is shown."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ssl_models.datasets._common import media
from ssl_models.datasets._sound.decoding import NO_SAMPLE, Recording, converted, odd, opened
from ssl_models.datasets._sound.frames import Converter

SMALLEST, LARGEST = 0.05, 600.0
"""Seconds without a sample that are filled with silence: shorter ones are what times are rounded by, and beyond longer
ones the clock is at fault, as _video/times.py has it."""

FILLED = "with gaps that are filled with silence"
LATE = "late: silence is before it"


def decode_from(content: Path | bytes, rate: int, start: float, most: int) -> Recording:
    """At most so many samples at `rate` Hz from `start` on, in seconds by the clock of the file; otherwise as `decode`.

    What is heard before is left out. Silence fills the time before a sound that begins later, and gaps on the way.
    """
    remarks: dict[str, str] = {}
    with opened(content) as (_, container, stream):
        frames = media.decoded(container, stream, remarks)
        if (first := next(frames, None)) is None:
            raise ValueError(NO_SAMPLE)
        late = 0 if first.time is None else round((first.time - start) * rate)
        if late >= most:
            raise ValueError(f"its sound begins {late / rate:.2f} s after its pictures, behind all of its clips")
        converter = Converter(rate)
        samples, _ = converted(converter, _without_gaps(chain([first], frames), remarks), rate, most - late)
    samples = np.concatenate([np.zeros(max(0, late), np.int16), samples[max(0, -late) :]])
    if not len(samples):
        raise ValueError("its sound ends before its pictures begin")
    if late > SMALLEST * rate:
        remarks[LATE] = f"{late / rate:.2f} s"
    return Recording(samples, remarks | odd(samples, converter, rate))


def _without_gaps(frames: Iterator[Any], remarks: dict[str, str]) -> Iterator[Any]:
    """The frames, and silent ones wherever the times of two tell of a gap."""
    expected: float | None = None
    filled = 0.0
    for frame in frames:
        told = frame.time
        if told is not None and expected is not None and SMALLEST < (gap := told - expected) <= LARGEST:
            yield from _silence(frame, gap)
            filled += gap
            remarks[FILLED] = f"{filled:.2f} s"
        expected = (expected if told is None else told) or 0.0
        expected += frame.samples / frame.sample_rate
        yield frame


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
