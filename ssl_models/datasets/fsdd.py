"""The Free Spoken Digit Dataset (Jackson et al. 2018): the digits 0 to 9 as several speakers say them, at 8 kHz."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from ssl_models.datasets._common import archive, files
from ssl_models.datasets._common.choices import check_unreadable
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._folder.listing import Entry, Listing
from ssl_models.datasets._sound import recordings
from ssl_models.datasets._sound.recordings import LENGTH, SOUND
from ssl_models.datasets._sound.windows import Windows, windows

KIND = "speech"
ORIGIN = "github.com/Jakobovski/free-spoken-digit-dataset"
NAME = re.compile(r"(\d)_([^_]+)_(\d+)\.wav", re.IGNORECASE | re.ASCII)
"""Digit, speaker, number."""
TEST_NUMBERS = range(5)
"""The recordings that are for testing, as its authors say."""
STEMS = ("fsdd", "free-spoken-digit-dataset", "free-spoken-digit-dataset-master")
ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar")
FOLDER = "recordings"


@dataclass(frozen=True)
class _Spoken:
    """One recording, by its name."""

    digit: str
    speaker: str
    number: int
    content: Path | bytes
    name: str


@dataclass(frozen=True)
class _Found:
    """The recordings of both splits, in the order of digit, speaker and number; where they lie; what was left out."""

    train: list[_Spoken]
    test: list[_Spoken]
    place: str
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


def load(
    *,
    seed: int,  # noqa: ARG001 - the split is as published
    source: str = "",
    rate: int = 8000,
    seconds: float = 1.0,
    unreadable: str = "skip",
) -> Dataset:
    """Sound (N, S) int16, S = seconds * rate, length (N, 1), labels (N,): the digit; a further set of labels: speaker.

    One row a recording, with zeros after its end; of longer ones what lies beyond is left out, and `Dataset.notes`
    counts them. Of the recordings at the default of 1 s these are under 1 %: they last 0.14 to 2.28 s, most 0.42.
    Recordings 0 to 4 of each speaker and digit are the test split, as published. The first of these that exists is
    read: the folder `source`, or a folder recordings/ in it; the archive `source`; $COVEY_DATA/fsdd, as `source`; the
    archive $COVEY_DATA/fsdd.tar.gz (.tgz, .zip, .tar), which is not unpacked. In place of fsdd the name of the download
    (STEMS) is known as well. Recordings are files DIGIT_SPEAKER_NUMBER.wav; `Dataset.skipped` names others.
    rate, unreadable: as in sound_folder.py.
    Raises FileNotFoundError where none of these exists; ValueError for settings out of range, no recording of one of
    the splits, and a digit or a speaker that only the test split has.
    """
    cut = _checked(rate, seconds, unreadable)
    found = _find(source)
    digits, speakers = (_names(found, kind) for kind in ("digit", "speaker"))
    listed = [
        [Entry(spoken.name, digits.index(spoken.digit), spoken.content) for spoken in split]
        for split in (found.train, found.test)
    ]
    listing = Listing(listed[0], listed[1], digits, found.skipped, found.notes)
    dataset, sources = recordings.read(listing, found.place, rate, cut, unreadable)
    train, test = (
        _with_speakers(split, [speakers.index(spoken.speaker) for spoken in of], source_)
        for split, of, source_ in zip((dataset.train, dataset.test), (found.train, found.test), sources, strict=True)
    )
    return replace(dataset, train=train, test=test, label_sets={"speaker": speakers, "digit": digits})


def count(
    *,
    source: str = "",
    rate: int = 8000,
    seconds: float = 1.0,
    unreadable: str = "skip",
    seed: int = 0,  # noqa: ARG001 - as load
) -> tuple[int, int]:
    """How many recordings `load` would open for train and test, by their names."""
    _checked(rate, seconds, unreadable)
    found = _find(source)
    return len(found.train), len(found.test)


def describe(*, rate: int = 8000, seconds: float = 1.0, **_: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shapes of a sample's parts, and what `load` makes known."""
    return {SOUND: (windows(rate, seconds).size,), LENGTH: (1,)}, {"rate": rate}


def _checked(rate: int, seconds: float, unreadable: str) -> Windows:
    check_unreadable(unreadable)
    return windows(rate, seconds, most=1)


def _find(source: str) -> _Found:
    """The recordings by their names; raises as `load` does."""
    skipped: list[str] = []
    passed_over = PassedOver("a recording")
    place = _place(source)
    known: dict[str, _Spoken] = {}
    for name, content in _files(place, passed_over, skipped):
        why = files.fault(content) if isinstance(content, Path) else ""
        if not (match := NAME.fullmatch(PurePosixPath(name).name)):
            why = why or "its name is not DIGIT_SPEAKER_NUMBER.wav"
        if why or not match:
            skipped.append(f"{files.printable(name)}: {why}")
            continue
        spoken = _Spoken(match[1], match[2], int(match[3]), content, name)
        first = known.setdefault(f"{spoken.digit}_{spoken.speaker}_{spoken.number}", spoken)
        if first is not spoken:
            skipped.append(f"{files.printable(name)}: a second recording of that name, beside {first.name}")
    ordered = sorted(known.values(), key=lambda spoken: (spoken.digit, spoken.speaker, spoken.number))
    train = [spoken for spoken in ordered if spoken.number not in TEST_NUMBERS]
    test = [spoken for spoken in ordered if spoken.number in TEST_NUMBERS]
    if not train or not test:
        told = f"; look at {skipped[0]}" if skipped else ""
        raise ValueError(
            f"'{place}' has {len(train)} recordings DIGIT_SPEAKER_NUMBER.wav for training (NUMBER from "
            f"{TEST_NUMBERS.stop} on) and {len(test)} for testing (below); both are needed{told}"
        )
    return _Found(train, test, str(place), tuple(skipped), passed_over.notes())


def _place(source: str) -> Path:
    """The folder or the archive that is read."""
    given = Path(source).expanduser()
    if source and (given.is_dir() or (given.is_file() and given.name.endswith(ARCHIVES))):
        return given
    data = os.environ.get("COVEY_DATA")
    for place in (Path(data or ".") / f"{stem}{suffix}" for stem in STEMS for suffix in ("", *ARCHIVES)):
        if data and (place.is_file() if place.name.endswith(ARCHIVES) else place.is_dir()):
            return place
    raise FileNotFoundError(
        "the Free Spoken Digit Dataset was found neither in `source` (no folder and no archive), nor as fsdd/, "
        f"fsdd.tar.gz or fsdd.zip in $COVEY_DATA ({data or 'not set'}). Get it from {ORIGIN} and put "
        "it in one of these places."
    )


def _files(place: Path, passed_over: PassedOver, skipped: list[str]) -> Iterator[tuple[str, Path | bytes]]:
    """Name and place, or content, of each file .wav; those beside recordings/ are not looked at."""

    def wanted(name: str) -> bool:
        own = PurePosixPath(name).name
        is_sound = own.lower().endswith(".wav") and not own.startswith(".")
        if not is_sound and PurePosixPath(name).parent.name in (FOLDER, ""):
            passed_over.add(own)
        return is_sound

    if place.is_file():
        yield from archive.members(place, wanted, skipped)
        return
    folder = place / FOLDER if (place / FOLDER).is_dir() else place
    for path in sorted(folder.iterdir()):
        if not path.is_dir() and wanted(path.name):
            if files.is_utf8(path.name):
                yield path.relative_to(place).as_posix(), path
            else:
                skipped.append(f"{files.printable(path.name)}: its name is not UTF-8")


def _names(found: _Found, kind: str) -> tuple[str, ...]:
    """The digits or the speakers of the training split, sorted. Raises ValueError where the test split has others."""
    train, test = ({getattr(spoken, kind) for spoken in split} for split in (found.train, found.test))
    if others := sorted(test - train):
        raise ValueError(
            f"'{found.place}' has the {kind} {files.printable(others[0])} in the test split only (numbers below "
            f"{TEST_NUMBERS.stop}), so it cannot be learned; add recordings of it, or take those away"
        )
    return tuple(sorted(train))


def _with_speakers(split: Split, speakers: list[int], source: Tensor) -> Split:
    """The split with both sets of labels in its truth. speakers: of each entry; source: the entry of each row."""
    digits = split.labels if split.labels is not None else torch.empty(0, dtype=torch.int64)
    return replace(split, truth={"labels.digit": digits, "labels.speaker": torch.tensor(speakers)[source]})
