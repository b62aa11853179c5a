"""What readers of video make of a split: the clips of one video after the other, in memory or in files."""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.datasets._common.split import Origin, Split
from ssl_models.datasets._common.writer import Writer, writer
from ssl_models.datasets._video.clips import Clips

FRAMES, SOUND, LENGTH, TRACKS, SOURCE = "frames", "sound", "length", "tracks", "source"
AT_ONCE = 2**26
"""Bytes of the clips whose tracks are sought together, beyond one clip."""
MOST_WAITING = 2**29
"""Bytes of pieces of videos that wait for those before them; each core makes one more."""


@dataclass(frozen=True)
class Wanted:
    """What is read of each video: its clips; so many tracks of each, or none; sound at `rate` Hz, or none at 0."""

    clips: Clips
    tracks: int = 0
    rate: int = 0

    @property
    def samples(self) -> int:
        """Of the sound of a clip: exactly the time of its frames, rounded to a sample."""
        return round(self.clips.seconds * self.rate)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the parts of a sample."""
        found: dict[str, tuple[int, ...]] = {FRAMES: self.clips.shape}
        found |= {SOUND: (self.samples,), LENGTH: (1,)} if self.rate else {}
        found |= {TRACKS: (self.tracks, self.clips.frames, 4)} if self.tracks else {}
        return found | {SOURCE: (1,)}


@dataclass(frozen=True)
class Cut:
    """K clips of one video, or of a piece of it; K may be 0.

    frames: of (3, side, side), some of them in several clips. starts: the first frame of each clip. origins: what names
    each clip. size: width and height of the whole picture. sound: (K, S) int16, length: (K, 1) int32, tracks:
    (K, M, T, 4) float32, where they are wanted. remarks: what is odd about the video -> how much.
    """

    frames: list[ndarray]
    starts: list[int]
    origins: list[str]
    size: tuple[int, int]
    sound: ndarray | None = None
    length: ndarray | None = None
    tracks: Tensor | None = None
    remarks: dict[str, str] = field(default_factory=dict)


def size_of(made: Cut | str) -> int:
    """About how many bytes of memory it takes; a text about what cannot be read takes none."""
    if isinstance(made, str):
        return 0
    large = [*made.frames, *(part for part in (made.sound, made.tracks) if part is not None)]
    return sum(part.nbytes for part in large)


class Taken:
    """A split that grows by the clips of one video after the other; they are written into `room` where it is given.

    rows: how many clips there will be, as far as that is known. stack: closes the files.
    """

    def __init__(self, stack: ExitStack, split: str, rows: int, wanted: Wanted, room: Path | None) -> None:
        def opened(part: str, dtype: type[np.generic]) -> Writer:
            path = None if room is None else room / f"{split}.{part}.npy"
            return stack.enter_context(writer(rows, wanted.shapes[part], path, dtype))

        self.videos = 0
        self._wanted = wanted
        self._large = {FRAMES: opened(FRAMES, np.uint8)}
        self._large |= {SOUND: opened(SOUND, np.int16)} if wanted.rate else {}
        self._in_files = room is not None
        self._small: dict[str, list[Tensor]] = {name: [] for name in wanted.shapes if name not in self._large}
        self._labels: list[int] = []
        self._names: list[str] = []
        self._groups: list[str] = []
        self._sizes: list[tuple[int, int]] = []

    def add(self, name: str, label: int, cut: Cut) -> None:
        """Clips of a video of this name and class; further ones of the same video may follow at once."""
        number = len(cut.starts)
        self.videos += bool(number) and self.last != name
        for start in cut.starts:
            self._large[FRAMES].append(clip(cut, start, self._wanted.clips.frames))
        if cut.sound is not None and cut.length is not None:
            for sound in cut.sound:
                self._large[SOUND].append(sound)
            self._small[LENGTH].append(torch.from_numpy(cut.length))
        if cut.tracks is not None:
            self._small[TRACKS].append(cut.tracks)
        self._small[SOURCE].append(torch.full((number, 1), self.videos - 1, dtype=torch.int32))
        self._labels += [label] * number
        self._names += cut.origins
        self._groups += [name] * number
        self._sizes += [cut.size] * number

    @property
    def last(self) -> str:
        """The name of the video whose clip was added last; "" for none."""
        return self._groups[-1] if self._groups else ""

    def split(self, *, labelled: bool) -> Split:
        """All of it, once there is a video."""
        made = {name: rows.finished() for name, rows in self._large.items()}
        made |= {name: torch.cat(pieces) for name, pieces in self._small.items()}
        parts = {name: made[name] for name in self._wanted.shapes}
        origin = Origin(tuple(self._names), torch.tensor(self._sizes, dtype=torch.int32), tuple(self._groups))
        labels = torch.tensor(self._labels) if labelled else None
        return Split(parts, labels, origin=origin, written=tuple(self._large) if self._in_files else ())


def clip(cut: Cut, start: int, frames: int) -> ndarray:
    """(T, 3, side, side) of the clip that begins there."""
    return np.stack(cut.frames[start : start + frames])


def tracks_of(cut: Cut, wanted: Wanted) -> Tensor | None:
    """(K, M, T, 4) float32, or None where none are wanted."""
    if not wanted.tracks:
        return None
    from ssl_models.datasets._video.tracker import tracks

    found = [torch.zeros(0, wanted.tracks, wanted.clips.frames, 4)]
    at_once = max(1, AT_ONCE // math.prod(wanted.clips.shape))
    for first in range(0, len(cut.starts), at_once):
        pieces = [clip(cut, start, wanted.clips.frames) for start in cut.starts[first : first + at_once]]
        found.append(tracks(torch.from_numpy(np.stack(pieces)), most=wanted.tracks))
    return torch.cat(found)
