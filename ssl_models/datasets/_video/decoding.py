"""Decodes video: the one place where a file of any format, size and frame rate becomes square frames at one rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from numpy import ndarray

from ssl_models.datasets._common import media
from ssl_models.datasets._video.clips import MOST_HOURS, Clips
from ssl_models.datasets._video.square import Squares
from ssl_models.datasets._video.times import RESET, Clock, shown

FORMATS = "asf avi dv flv h264 hevc ivf m4v matroska mov mpeg mpegts mpegvideo mxf ogg yuv4mpegpipe"
"""What FFmpeg may take a file for."""
UNKNOWN = "no format of video that is known, or cut off before its pictures"
TELLS = {"mov": 0.06, "matroska": 0.06, "avi": 0.06}
"""Formats whose header tells the duration, and the share by which a whole file may be shorter. Others are estimates."""
MOST_PIXELS = 2**26
"""Of a frame as it is coded."""


LONGER = f"longer than {MOST_HOURS} hours, of which no more is read"
SOUND_ALONE = "; `reader: sound_folder` reads its sound"


@dataclass
class Video:
    """One video, as far as its frames have been taken.

    frames: (3, side, side) uint8 of each that is shown at one of the times 0, 1 / fps, 2 / fps ... seconds after the
    first, and at how many of them. start: when the first is shown by the clock of the file, in seconds. size: width and
    height of the whole picture, upright, in square pixels. remarks: what is odd about it -> how much.
    """

    frames: Iterator[tuple[ndarray, int]]
    start: float
    size: tuple[int, int] = (0, 0)
    remarks: dict[str, str] = field(default_factory=dict)


@contextmanager
def opened(content: Path | bytes, clips: Clips) -> Iterator[Video]:
    """A video whose frames are decoded as they are taken.

    The first stream of video is read that is no picture of a cover. Frames are turned as the file says. What is odd
    about its end is told once all of them have been taken.
    Raises ValueError for what is no file or no video, for one without a frame, and at the end for more than
    media.MOST_DAMAGED of damage; FileNotFoundError.
    """
    remarks: dict[str, str] = {}
    with _stream(content) as (container, stream):
        clock, squares = Clock(_rate(stream), remarks), Squares(clips.side, stream.sample_aspect_ratio)
        timed = clock.timed(media.decoded(container, stream, remarks))
        if (first := next(timed, None)) is None:
            raise ValueError("it holds no video: 0 frames")
        video = Video(iter(()), first[0], remarks=remarks)

        def frames() -> Iterator[tuple[ndarray, int]]:
            count = 0
            for frame, times in shown(chain([first], timed), clips.fps, clock.step):
                pixels, taken = squares.of(frame), min(times, clips.largest - count)
                video.size = squares.whole
                yield pixels, taken
                count += taken
                if taken < times:
                    remarks[LONGER] = f"{count:,} frames"
                    return
            if RESET not in remarks:
                _compare(container, stream, max(0.0, first[0]) + count / clips.fps, 1 / clips.fps, remarks)

        video.frames = frames()
        yield video


def seconds(content: Path | bytes) -> float:
    """How long a video is by its header; 0 where that does not tell or cannot be read. Nothing is decoded."""
    try:
        with _stream(content) as (container, stream):
            return media.told(container, stream) or 0.0
    except (ValueError, OSError):
        return 0.0


@contextmanager
def _stream(content: Path | bytes) -> Iterator[tuple[Any, Any]]:
    """PyAV's container, and the stream that is read."""
    from av.stream import Disposition

    with media.opened(content, FORMATS, UNKNOWN, most=None) as (_, container):
        covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
        moving = [stream for stream in container.streams.video if stream not in covers]
        if not moving:
            kinds = ["the picture of a cover"] if covers else []
            kinds += sorted({stream.type for stream in container.streams} - {"video"})
            only = " and ".join(kinds)
            other = SOUND_ALONE if "audio" in kinds else ""
            raise ValueError(f"no video in it{f', only {only}' if only else ''}{other}")
        context = media.context_of(moving[0], "pictures are")
        if context.width * context.height > MOST_PIXELS:
            raise ValueError(f"its frames have {context.width:,} x {context.height:,} pixels, over {MOST_PIXELS:,}")
        context.thread_count = 1  # several files are read at once
        yield container, moving[0]


def _rate(stream: Any) -> float | None:
    """Frames a second by the header, where it tells something that may be."""
    rate = stream.guessed_rate or stream.average_rate  # the second is 25 in a file without times
    return float(rate) if rate and 0.01 <= rate <= 1000 else None


def _compare(container: Any, stream: Any, found: float, step: float, remarks: dict[str, str]) -> None:
    """Adds a remark where the header tells of more video than was `found`, in seconds, by over a frame and a bit.

    found: with the time before the first frame, which some formats count as well.
    """
    told, form = media.told(container, stream), container.format.name.partition(",")[0]
    if stream.duration is None and len(container.streams) > 1:  # the sound may last longer
        told = None
    if told and form in TELLS and found < told - step - TELLS[form] * max(1.0, told):
        remarks.pop(media.CUT_OFF, None)
        remarks[media.SHORTER] = f"{found:.2f} of {told:.2f} s"
