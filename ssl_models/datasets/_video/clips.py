"""Clips of T frames at one frame rate that videos of any length are cut into, and the sound that belongs to each."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_SIDE, MOST_FRAMES, MOST_FPS, MOST_TRACKS = 1024, 256, 240.0, 64
"""The largest side of frames in pixels, frames of a clip, their rate in Hz, and tracks of a clip."""
SMALLEST = 16
"""Pixels: the smallest side of frames that _video/tracker.py follows patches in."""
MOST_HOURS = 12
"""Of one video; a small file may unpack to any length."""


@dataclass(frozen=True)
class Clips:
    """`frames` of side x side pixels each, `fps` a second; one clip every `hop` frames, the first `most`; 0 for all.

    Only whole clips are taken: frames have no padding. So a video may have none.
    """

    side: int
    frames: int
    fps: float
    hop: int
    most: int = 0

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, 3, H, W) of a clip."""
        return (self.frames, 3, self.side, self.side)

    @property
    def seconds(self) -> float:
        """How long a clip lasts: each frame is shown for 1 / fps."""
        return self.frames / self.fps

    @property
    def largest(self) -> int:
        """How many frames of one video are read at most."""
        return round(MOST_HOURS * 3600 * self.fps)

    def starts(self, frames: int) -> list[int]:
        """The first frame of each clip of a video of so many frames."""
        found = list(range(0, frames - self.frames + 1, self.hop))
        return found[: self.most] if self.most else found

    def count(self, frames: int) -> int:
        """How many clips a video of so many frames gives."""
        found = max(0, (frames - self.frames) // self.hop + 1)
        return min(found, self.most) if self.most else found

    def in_time(self, seconds: float) -> int:
        """How many frames a video that lasts so long has at this rate: one is shown at 0, and one each 1 / fps."""
        return math.ceil(seconds * self.fps - TOLERANCE * self.fps)

    def too_short(self, frames: int) -> str:
        """Why a video of so many frames gives no clip."""
        lasts, wanted = f"{frames / self.fps:.2f}", f"{self.seconds:.2f}"
        return (
            f"too short: {frames} frame{'' if frames == 1 else 's'} at {self.fps:g} a second ({lasts} s), and a clip "
            f"takes {self.frames} ({wanted} s); lower `frames`, or raise `fps`"
        )


TOLERANCE = 1e-3
"""Seconds by which a frame may be told to come too late: Matroska rounds times to milliseconds."""


def clips(size: int, frames: int, fps: float, hop: float = 0.0, most: int = 0) -> Clips:
    """From settings; hop in seconds, rounded to whole frames, 0 for clips next to each other.

    Raises ValueError for values out of range.
    """
    if not 1 <= size <= MOST_SIDE:
        raise ValueError(f"size = {size} must lie between 1 and {MOST_SIDE:,} pixels")
    if not 2 <= frames <= MOST_FRAMES:
        raise ValueError(f"frames = {frames} must lie between 2 and {MOST_FRAMES}: how many a clip has")
    if not math.isfinite(fps) or not 0 < fps <= MOST_FPS:
        raise ValueError(f"fps = {fps} must lie above 0 and be at most {MOST_FPS:g} frames a second")
    if hop and (not math.isfinite(hop) or hop * fps < 1 - 1e-9):
        raise ValueError(f"hop = {hop} s must be at least one frame ({1 / fps:g} s), or 0 for clips next to each other")
    if most < 0:
        raise ValueError(f"most = {most} must be at least 1, or 0 for all clips of a video")
    return Clips(size, frames, fps, round(hop * fps) if hop else frames, most)


def check_tracks(tracks: int, size: int) -> None:
    """Raises ValueError for a number of tracks out of range, and for frames too small to follow anything in."""
    if not 0 <= tracks <= MOST_TRACKS:
        raise ValueError(f"tracks = {tracks} must lie between 0 (none are sought) and {MOST_TRACKS} a clip")
    if tracks and size < SMALLEST:
        raise ValueError(
            f"size = {size}: patches are followed in frames of {SMALLEST} pixels and more; or set tracks: 0"
        )
