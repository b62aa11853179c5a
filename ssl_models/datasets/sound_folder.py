"""A folder of sound of any kind and length, or of video with sound, with class folders, with splits, or neither."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ssl_models.datasets._common.choices import check_test_fraction, check_unreadable
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._common.suffixes import SOUNDS
from ssl_models.datasets._folder.listing import Listing, list_files
from ssl_models.datasets._folder.tree import Wanted
from ssl_models.datasets._sound import recordings
from ssl_models.datasets._sound.recordings import LENGTH, SOUND
from ssl_models.datasets._sound.windows import Windows, windows

KIND = "speech"
SUFFIXES = SOUNDS
WANTED = Wanted(SUFFIXES, noun="recording", what="a recording")


def load(
    *,
    seed: int,
    source: str,
    rate: int = 8000,
    seconds: float = 1.0,
    hop: float = 0.0,
    most: int = 0,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
) -> Dataset:
    """Windows of sound (N, S) int16 of one channel, S = seconds * rate, and how much of each is sound, length (N, 1).

    source: a folder in one of the layouts of _folder/listing.py. Recordings are
    drawn for the test split, never windows: all windows of one lie in the same split, and have its class as label.
    rate: in Hz, which everything is resampled to; 8000 is a telephone's, 16000 is usual for speech.
    seconds, hop: a window, and the way from one to the next; 0 for the same. The last window of a recording is kept
    where at least half of it is sound, and the only one always; zeros follow.
    most: windows that are taken of each recording, from its start; 0 for all.
    unreadable: "skip" names recordings that cannot be decoded in `Dataset.skipped`, "refuse" raises at the first.
    `Dataset.notes` tells of what is read, but odd: shorter than the header tells, clipped, damaged in parts, silent.
    Raises as _folder/listing.py; ValueError for settings out of range, and a split without a readable recording.
    """
    cut, listing = _listed(source, rate, seconds, hop, most, test_fraction, unreadable, seed)
    dataset, _ = recordings.read(listing, str(Path(source).expanduser()), rate, cut, unreadable)
    return dataset


def count(
    *,
    source: str,
    rate: int = 8000,
    seconds: float = 1.0,
    hop: float = 0.0,
    most: int = 0,
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many windows `load` gives for train and test if the headers of all recordings tell the truth.

    A header that tells nothing counts as one window.
    """
    cut, listing = _listed(source, rate, seconds, hop, most, test_fraction, unreadable, seed)
    return recordings.count(listing.train, rate, cut), recordings.count(listing.test, rate, cut)


def describe(*, rate: int = 8000, seconds: float = 1.0, **_: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shapes of a sample's parts, and what `load` makes known."""
    return {SOUND: (windows(rate, seconds).size,), LENGTH: (1,)}, {"rate": rate}


def _listed(
    source: str,
    rate: int,
    seconds: float,
    hop: float,
    most: int,
    test_fraction: float,
    unreadable: str,
    seed: int,
) -> tuple[Windows, Listing]:
    """Checks the settings and lists the folder."""
    cut = windows(rate, seconds, hop, most)
    check_test_fraction(test_fraction)
    check_unreadable(unreadable)
    return cut, list_files(Path(source).expanduser(), seed, test_fraction, WANTED)
