"""Decodes video: the one place where a file of any format, size and frame rate becomes square frames at one rate."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy import ndarray

from ssl_models.datasets._common import media
from ssl_models.datasets._video.clips import Clips
from ssl_models.datasets._video.square import Squares
from ssl_models.datasets._video.times import RESET, Clock, shown

FORMATS = "asf avi dv flv h264 hevc ivf m4v matroska mov mpeg mpegts mpegvideo mxf ogg yuv4mpegpipe"
"""What FFmpeg may take a file for."""
UNKNOWN = "no format of video that is known, or cut off before its pictures"
TELLS = {"mov": 0.06, "matroska": 0.06, "avi": 0.06}
"""Formats whose header tells the duration, and the share by which a whole file may be shorter. Others are estimates."""
MOST_PIXELS = 2**26
"""Of a frame as it is coded."""

SHORTER = media.SHORTER


@dataclass(frozen=True)
class Video:
    """frames: F of (3, side, side) uint8; one that is shown at several times is there as often, in memory once.

    start: when the first is shown by the clock of the file, in seconds. size: width and height of the whole picture,
    upright, in square pixels. remarks: what is odd about it -> how much.
    """

    frames: list[ndarray]
    start: float
    size: tuple[int, int]
    remarks: dict[str, str] = field(default_factory=dict)


def decode(content: Path | bytes, clips: Clips) -> Video:
    """The frames that are shown at 0, 1 / fps, 2 / fps ... seconds after the first, as far as clips need them.

    The first stream of video is read that is no picture of a cover. Frames are turned as the file says.
    Raises ValueError for what is no file or no video, for one without a frame, more than media.MOST_DAMAGED of damage,
    and more than clips.largest frames; FileNotFoundError.
    """
    remarks: dict[str, str] = {}
    with _opened(content) as (container, stream):
        clock, squares = Clock(_rate(stream)), Squares(clips.side, stream.sample_aspect_ratio)
        frames: list[ndarray] = []
        start: float | None = None
        timed = clock.timed(media.decoded(container, stream, remarks))
        first = next(timed, None)
        if first is None:
            raise ValueError("it holds no video: 0 frames")
        start = first[0]
        whole = True
        for frame, times in shown(_ahead(first, timed), clips.fps, clock.step):
            most = (clips.needed or clips.largest + 1) - len(frames)
            frames += [squares.of(frame)] * min(times, most)
            if times >= most:
                whole = False
                break
        if len(frames) > clips.largest:
            hours = clips.largest / clips.fps / 3600
            words = "and no more is read; cut it into pieces, or set `most`, or a lower `size` or `fps`"
            raise ValueError(f"it is longer than {hours:.2g} hours, {words}")
        if whole and RESET not in clock.remarks:
            _compare(container, stream, max(0.0, start) + len(frames) / clips.fps, 1 / clips.fps, remarks)
    return Video(frames, start, squares.whole, remarks | clock.remarks)


def seconds(content: Path | bytes) -> float:
    """How long a video is by its header; 0 where that does not tell or cannot be read. Nothing is decoded."""
    try:
        with _opened(content) as (container, stream):
            return media.told(container, stream) or 0.0
    except (ValueError, OSError):
        return 0.0


@contextmanager
def _opened(content: Path | bytes) -> Iterator[tuple[Any, Any]]:
    """PyAV's container, and the stream that is read."""
    from av.stream import Disposition

    with media.opened(content, FORMATS, UNKNOWN, most=None) as (_, container):
        covers = [stream for stream in container.streams.video if stream.disposition & Disposition.attached_pic]
        moving = [stream for stream in container.streams.video if stream not in covers]
        if not moving:
            kinds = ["the picture of a cover"] if covers else []
            kinds += sorted({stream.type for stream in container.streams} - {"video"})
            only = " and ".join(kinds)
            raise ValueError(f"no video in it{f', only {only}' if only else ''}")
        context = media.context_of(moving[0], "pictures are")
        if context.width * context.height > MOST_PIXELS:
            raise ValueError(f"its frames have {context.width:,} x {context.height:,} pixels, over {MOST_PIXELS:,}")
        context.thread_count = 1  # several files are read at once
        yield container, moving[0]


def _rate(stream: Any) -> float | None:
    """Frames a second by the header, where it tells something that may be."""
    rate = stream.guessed_rate or stream.average_rate  # the second is 25 in a file without times
    return float(rate) if rate and 0.01 <= rate <= 1000 else None


def _ahead(first: tuple[float, Any], others: Iterator[tuple[float, Any]]) -> Iterator[tuple[float, Any]]:
    yield first
    yield from others


def _compare(container: Any, stream: Any, found: float, step: float, remarks: dict[str, str]) -> None:
    """Adds a remark where the header tells of more video than was `found`, in seconds, by over a frame and a bit.

    found: with the time before the first frame, which some formats count as well.
    """
    told, form = media.told(container, stream), container.format.name.partition(",")[0]
    if stream.duration is None and len(container.streams) > 1:  # the sound may last longer
        told = None
    if told and form in TELLS and found < told - step - TELLS[form] * max(1.0, told):
        remarks.pop(media.CUT_OFF, None)
        remarks[SHORTER] = f"{found:.2f} of {told:.2f} s"
