"""Frames that come one after the other -> clips, a piece of the video at a time: none is held whole."""

from __future__ import annotations

from dataclasses import dataclass, field

from numpy import ndarray

from ssl_models.datasets._video.clips import Clips

PIECE = 2**26
"""Bytes of frames of a piece, beyond the first clip of it."""


@dataclass(frozen=True)
class Piece:
    """Frames that follow each other. starts: the first of each clip in them. first: the frames of the video before."""

    frames: list[ndarray]
    starts: list[int]
    first: int


@dataclass
class Cutter:
    """Cuts the frames of one video into clips, each as soon as its last frame is there.

    number: of the clips so far. total: of the frames. longest: of those that follow each other without a gap.
    """

    clips: Clips
    number: int = 0
    total: int = 0
    longest: int = 0
    _run: int = 0
    _next: int = 0
    _frames: list[ndarray] = field(default_factory=list)
    _starts: list[int] = field(default_factory=list)

    def add(self, frame: ndarray, times: int = 1) -> None:
        """The next frame, which is so many frames of the clips."""
        self._frames += [frame] * times
        self.total += times
        self._run += times
        self.longest = max(self.longest, self._run)
        while self._next + self.clips.frames <= self.total and not self.full:
            self._starts.append(self._next)
            self.number += 1
            self._next += self.clips.hop
        if not self._starts:
            del self._frames[: self._unneeded()]

    def gap(self) -> None:
        """What comes now does not follow what was there: no clip holds both."""
        self._next, self._run = self.total, 0

    @property
    def full(self) -> bool:
        """Whether there are as many clips as are wanted."""
        return bool(self.clips.most) and self.number >= self.clips.most

    @property
    def large(self) -> bool:
        """Whether there is a piece that should be taken."""
        return bool(self._starts) and len(self._frames) * 3 * self.clips.side**2 >= PIECE

    def piece(self) -> Piece:
        """The clips that have not been taken; there may be none. Frames that no later clip holds are let go."""
        first = self.total - len(self._frames)
        starts = [start - first for start in self._starts]
        piece = Piece(self._frames[: starts[-1] + self.clips.frames] if starts else [], starts, first)
        self._starts = []
        self._frames = self._frames[self._unneeded() :]
        return piece

    def _unneeded(self) -> int:
        """How many of the frames that are held lie before the next clip."""
        return max(0, self._next - (self.total - len(self._frames)))
