"""A folder of video with sound of any kind, length and rate, with class folders, with splits, or neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._sound.windows import windows
from ssl_models.datasets._video import videos
from ssl_models.datasets._video.clips import clips
from ssl_models.datasets._video.taken import Wanted

KIND = "audiovisual"


def load(
    *,
    seed: int,
    source: str,
    size: int = 64,
    frames: int = 10,
    fps: float = 10.0,
    hop: float = 0.0,
    most: int = 0,
    rate: int = 8000,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Clips: frames (N, T, 3, S, S) uint8, sound (N, R) int16, length (N, 1) int32, and source (N, 1) int32.

    source, size, frames, fps, hop, most, unreadable, room: as in video_folder.py. A video without sound is one that
      cannot be read; a clip of which less than half has sound is left out, which a note tells.
    rate: of the sound, in Hz, which everything is resampled to. The sound of a clip lasts exactly as long as its
      frames, R = frames / fps * rate samples, and its first is heard when the first frame is shown. Where it begins
      later than the pictures silence is before it; where it ends earlier zeros follow, and `length` does not count
      them. Gaps are filled and what is too much is left out, so that no frame of sound begins more than 0.05 s off the
      time that the file tells for it.
    `Dataset.notes` tells of silent tracks too: what has sound does not tell which pictures they are of.
    Raises as video_folder.py.
    """
    wanted = _wanted(size, frames, fps, hop, most, rate)
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
    rate: int = 8000,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many clips `load` gives for train and test if the headers of all videos tell the truth, and all have sound.

    A header that tells nothing counts as one clip.
    """
    wanted = _wanted(size, frames, fps, hop, most, rate)
    listing = videos.listed(source, test_fraction, unreadable, seed)
    return videos.count(listing.train, wanted.clips), videos.count(listing.test, wanted.clips)


def describe(
    *, size: int = 64, frames: int = 10, fps: float = 10.0, rate: int = 8000, **_: Any
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shapes of a sample's parts, and what `load` makes known."""
    wanted = _wanted(size, frames, fps, 0.0, 0, rate)
    return wanted.shapes, videos.known(wanted)


def _wanted(size: int, frames: int, fps: float, hop: float, most: int, rate: int) -> Wanted:
    wanted = Wanted(clips(size, frames, fps, hop, most), rate=rate)
    windows(rate, wanted.clips.seconds)  # checks both
    return wanted
