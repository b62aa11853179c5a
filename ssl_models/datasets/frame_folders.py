"""A folder or an archive of videos, each of which is a folder of numbered pictures, with classes and splits or neither.

DAVIS, YouTube-VOS and many sets of actions are distributed so. A folder of class folders of pictures looks the same, so
this reader is only taken where it is named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_models.datasets._common.choices import check_test_fraction, check_unreadable
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._video import numbered, sequences, videos
from ssl_models.datasets._video.clips import check_tracks, clips
from ssl_models.datasets._video.sequences import Found
from ssl_models.datasets._video.taken import Wanted

KIND = "video"


def load(
    *,
    seed: int,
    source: str,
    size: int = 64,
    frames: int = 10,
    fps: float = 24.0,
    every: int = 1,
    hop: float = 0.0,
    most: int = 0,
    tracks: int = 1,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Clips: frames (N, T, 3, S, S) uint8, tracks (N, M, T, 4) float32, and the video of each, source (N, 1) int32.

    source: a folder, or an archive (.tar.gz, .tgz, .zip, .tar), in one of the layouts of _video/sequences.py.
      `Origin.files` names the first picture of each clip. Of an archive rows are in the order of its videos.
    size, frames: S and T. Each picture is scaled by itself, its short side to S, and its middle is kept.
    fps: how many pictures were taken a second, which they do not tell themselves; 24 is that of DAVIS.
    every: every so many pictures are frames, so that a clip has fps / every of them a second.
    The last digits of a picture's name are its number, and numbers go up by the step that most have, give or take 1
    where it is over 1: milliseconds are rounded. Where one lacks, or a picture cannot be read, is a gap, and no clip
    spans it; a note tells of them.
    hop, most, tracks, room: as in video_folder.py. unreadable: "skip" names pictures that cannot be read, and videos
      that are too short for a clip, in `Dataset.skipped`; "refuse" raises at the first.
    Raises as sequences.find; ValueError for settings out of range, and a split without a clip.
    """
    wanted = checked(size, frames, fps, every, hop, most, tracks)
    return numbered.read(_found(source, test_fraction, unreadable, seed), wanted, every, unreadable, room)


def count(
    *,
    source: str,
    size: int = 64,
    frames: int = 10,
    fps: float = 24.0,
    every: int = 1,
    hop: float = 0.0,
    most: int = 0,
    tracks: int = 1,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many clips `load` gives for train and test if all pictures can be read; none is opened."""
    wanted = checked(size, frames, fps, every, hop, most, tracks)
    found = _found(source, test_fraction, unreadable, seed)
    return numbered.count(found.train, wanted, every), numbered.count(found.test, wanted, every)


def describe(
    *, size: int = 64, frames: int = 10, fps: float = 24.0, every: int = 1, tracks: int = 1, **_: Any
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shapes of a sample's parts, and what `load` makes known."""
    wanted = checked(size, frames, fps, every, 0.0, 0, tracks)
    return wanted.shapes, videos.known(wanted)


def checked(size: int, frames: int, fps: float, every: int, hop: float, most: int, tracks: int) -> Wanted:
    """What is read of each video. Raises ValueError for settings out of range."""
    if every < 1:
        raise ValueError(f"every = {every} must be at least 1: every so many pictures are frames")
    clips(size, frames, fps)  # before it is divided
    check_tracks(tracks, size)
    return Wanted(clips(size, frames, fps / every, hop, most), tracks)


def _found(source: str, test_fraction: float, unreadable: str, seed: int) -> Found:
    check_test_fraction(test_fraction)
    check_unreadable(unreadable)
    return sequences.find(Path(source).expanduser(), seed, test_fraction)
