"""A folder of video of any kind, size, length and frame rate, with class folders, with splits, or neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._video import videos
from ssl_models.datasets._video.clips import check_tracks, clips
from ssl_models.datasets._video.taken import Wanted

KIND = "video"


def load(
    *,
    seed: int,
    source: str,
    size: int = 64,
    frames: int = 10,
    fps: float = 10.0,
    hop: float = 0.0,
    most: int = 0,
    tracks: int = 1,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Clips: frames (N, T, 3, S, S) uint8, tracks (N, M, T, 4) float32, and the video of each, source (N, 1) int32.

    source: a folder in one of the layouts of _folder/listing.py. Videos are drawn for the test split, never clips: all
      clips of one lie in the same split, and have its class as label. `Origin.files` names them, with the second at
      which they begin (a.mp4#t=1.5).
    size: S; the short side is scaled to it, and the middle is kept. Pixels that are no squares are made squares, and
      frames are turned as the file says.
    frames, fps: T, and how many of them are a second. They are those that are shown at 0, 1 / fps, 2 / fps ... seconds,
      so that variable frame rates are right; at a higher rate than the video's own some are repeated.
    hop: seconds from a clip to the next, rounded to whole frames; 0 for clips next to each other. Only whole clips are
      taken: a video that is shorter than one is left out.
    most: clips that are taken of each video, from its start; 0 for all.
    tracks: M, patches that are followed in each clip (_video/tracker.py); 0 for none, and no such part.
    unreadable: "skip" names videos that cannot be decoded in `Dataset.skipped`, "refuse" raises at the first.
    room: where frames are written as they are decoded (Split.written). Of each video a piece is in memory, however long
      it is; of more than 12 hours the rest is left out. Where it breaks off behind its first piece, the clips before
      that are kept.
    `Dataset.notes` tells of what is read, but odd: shorter than the header tells, damaged in parts, times that run
    backwards. Raises as _folder/listing.py; ValueError for settings out of range, and a split without a clip.
    """
    wanted = _wanted(size, frames, fps, hop, most, tracks)
    listing = videos.listed(source, test_fraction, unreadable, seed)
    return videos.read(listing, str(Path(source).expanduser()), wanted, unreadable, room)


def count(
    *,
    source: str,
    size: int = 64,
    frames: int = 10,
    fps: float = 10.0,
    hop: float = 0.0,
    most: int = 0,
    tracks: int = 1,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many clips `load` gives for train and test if the headers of all videos tell the truth.

    A header that tells nothing counts as one clip.
    """
    wanted = _wanted(size, frames, fps, hop, most, tracks)
    listing = videos.listed(source, test_fraction, unreadable, seed)
    return videos.count(listing.train, wanted.clips), videos.count(listing.test, wanted.clips)


def describe(
    *, size: int = 64, frames: int = 10, fps: float = 10.0, tracks: int = 1, **_: Any
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shapes of a sample's parts, and what `load` makes known."""
    wanted = _wanted(size, frames, fps, 0.0, 0, tracks)
    return wanted.shapes, videos.known(wanted)


def _wanted(size: int, frames: int, fps: float, hop: float, most: int, tracks: int) -> Wanted:
    cut = clips(size, frames, fps, hop, most)
    check_tracks(tracks, size)
    return Wanted(cut, tracks)
