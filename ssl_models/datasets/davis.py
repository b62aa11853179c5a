"""DAVIS (Perazzi et al. 2016, CVPR; Pont-Tuset et al. 2017, arXiv:1704.00675): videos at 24 frames a second.

They were made for following objects; their masks are not read. Non-commercial research only. Splits are drawn by video:
the published ones are for the masks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ssl_models.datasets import frame_folders
from ssl_models.datasets._common.choices import check_test_fraction, check_unreadable
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._video import numbered, sequences, videos
from ssl_models.datasets._video.sequences import ARCHIVES, Found

KIND = "video"
ORIGIN = "davischallenge.org"
FPS = 24.0
STEMS = ("davis96", "davis", "DAVIS", "DAVIS-2017-trainval-480p", "DAVIS-data")
FRAMES = "JPEGImages"
RESOLUTION = "480p"


def load(
    *,
    seed: int,
    source: str = "",
    size: int = 64,
    frames: int = 10,
    every: int = 1,
    hop: float = 0.0,
    most: int = 0,
    tracks: int = 1,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Clips as frame_folders.py gives them, which explains the settings; 24 frames a second, or every so many of them.

    The first of these that exists is read: the folder or archive `source`; $COVEY_DATA/davis96 as a folder or an
    archive (.tar.gz, .tgz, .zip, .tar), which is not unpacked. In place of davis96 the names of the download (STEMS)
    are known as well. Of a download JPEGImages/480p/ is read, or what lies in JPEGImages/ where there is no 480p.
    Raises FileNotFoundError where none of these exists; otherwise as frame_folders.py.
    """
    wanted = frame_folders.checked(size, frames, FPS, every, hop, most, tracks)
    return numbered.read(_found(source, test_fraction, unreadable, seed), wanted, every, unreadable, room)


def count(
    *,
    source: str = "",
    size: int = 64,
    frames: int = 10,
    every: int = 1,
    hop: float = 0.0,
    most: int = 0,
    tracks: int = 1,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many clips `load` gives for train and test if all pictures can be read; none is opened."""
    wanted = frame_folders.checked(size, frames, FPS, every, hop, most, tracks)
    found = _found(source, test_fraction, unreadable, seed)
    return numbered.count(found.train, wanted, every), numbered.count(found.test, wanted, every)


def describe(
    *, size: int = 64, frames: int = 10, every: int = 1, tracks: int = 1, **_: Any
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shapes of a sample's parts, and what `load` makes known."""
    wanted = frame_folders.checked(size, frames, FPS, every, 0.0, 0, tracks)
    return wanted.shapes, videos.known(wanted)


def _found(source: str, test_fraction: float, unreadable: str, seed: int) -> Found:
    check_test_fraction(test_fraction)
    check_unreadable(unreadable)
    return sequences.find(_place(source), seed, test_fraction, _of_frames)


def _of_frames(folders: list[str]) -> list[str]:
    """Without those of masks and of other resolutions, where they are there."""
    own = [name for name in folders if FRAMES in name.split("/")]
    return [name for name in own if RESOLUTION in name.split("/")] or own or folders


def _place(source: str) -> Path:
    """The folder or the archive that is read."""
    given = Path(source).expanduser()
    if source and (given.is_dir() or (given.is_file() and given.name.lower().endswith(ARCHIVES))):
        return given
    data = os.environ.get("COVEY_DATA")
    for place in (Path(data or ".") / f"{stem}{suffix}" for stem in STEMS for suffix in ("", *ARCHIVES)):
        if data and (place.is_file() if place.name.endswith(ARCHIVES) else place.is_dir()):
            return place
    raise FileNotFoundError(
        "DAVIS was found neither in `source` (no folder and no archive), nor as davis96/, davis96.tar.gz or "
        f"DAVIS/ in $COVEY_DATA ({data or 'not set'}). Get it from {ORIGIN} and put it in one of these places."
    )
