"""STL-10 (Coates, Ng & Lee 2011): 100,000 photographs of 96 pixels without labels, and 13,000 of ten classes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import files as openable
from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._known import places
from ssl_models.datasets._known.arrays import entries
from ssl_models.datasets._pictures.arrangement import Listing

FOLDER = "stl10_binary"
KINDS = f"stl10/{FOLDER}/*.bin"
PIXELS = 96
CLASSES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
COUNTS = {"unlabeled": 100_000, "train": 5_000, "test": 8_000}
"""Pictures of the whole data set, in <name>_X.bin; their labels in <name>_y.bin, but for the first."""
PARTS = {"unlabelled": "unlabeled", "labelled": "train"}


def load(
    *,
    seed: int,  # noqa: ARG001 - the contract of a reader; nothing is drawn here
    source: str = "",
    part: str = "unlabelled",
    size: int = 96,
    store: float = 1.0,
    room: Path | None = None,
) -> Dataset:
    """Images (N, 3, S, S) uint8, S = size * store, in the order of the files.

    part: "unlabelled": 100,000 training images and the 8,000 of the test set, no labels: to pretrain on. "labelled":
      5,000 training images and the same 8,000, with labels: to measure what was learned, as a target's data.
    size: images are used at size x size. store: how much larger they are stored, for crops to be taken from; 1 to 4.
    room: where images are written as they are decoded (Split.written).
    The first of these that has them is read: the folder `source` or $COVEY_DATA/stl10, each with train_X.bin and so on
    in it or in its stl10_binary/. Otherwise torchvision downloads 2.6 GB to $COVEY_DOWNLOADS, by default
    .covey/downloads. Only the files of the part are read, a picture at a time.
    Raises FileNotFoundError where none of these succeeds; ValueError for settings out of range, files that are cut off
    and labels that are not 1 to 10.
    """
    from ssl_models.datasets._pictures import decoding

    _check(part)
    decoding.check_settings(size, store, "skip")
    place = _place(source, part)
    train = entries("train", _images(place, PARTS[part]), _labels(place, "train") if part == "labelled" else None)
    test = entries("test", _images(place, "test"), _labels(place, "test") if part == "labelled" else None)
    listing = Listing(train, test, CLASSES if part == "labelled" else (), what=f"the {part} part of STL-10")
    return decoding.read(listing, str(place), size=size, store=store, room=room)


def count(
    *,
    source: str = "",
    part: str = "unlabelled",
    size: int = 96,
    store: float = 1.0,
    seed: int = 0,  # noqa: ARG001 - as load
) -> tuple[int, int]:
    """How many images `load` would open for train and test; nothing is downloaded."""
    from ssl_models.datasets._pictures import decoding

    _check(part)
    decoding.check_settings(size, store, "skip")
    if place := _found(source, part):
        return len(_images(place, PARTS[part])), len(_images(place, "test"))
    return COUNTS[PARTS[part]], COUNTS["test"]


def files(*, source: str = "", part: str = "unlabelled", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The files that `load` would read; nothing where it would download them, or has done so."""
    _check(part)
    if folder := _given(source, part):
        for name in _names(part):
            yield name, folder / name


def _check(part: str) -> None:
    if part not in PARTS:
        raise ValueError(f"part = '{part}' must be {' or '.join(PARTS)}")


def _place(source: str, part: str) -> Path:
    return _found(source, part) or places.fetched("STL-10", KINDS, _downloaded)


def _given(source: str, part: str) -> Path | None:
    """The folder `source` or that in $COVEY_DATA that has the files of a part, None where neither has."""
    names = _names(part)
    if given := places.folder("stl10", source):
        for folder in (given, given / FOLDER):
            if there := [name for name in names if (folder / name).is_file()]:
                if missing := [name for name in names if name not in there]:
                    raise FileNotFoundError(f"'{folder}' has {there[0]}, but no {', '.join(missing)}")
                return folder
    return None


def _found(source: str, part: str) -> Path | None:
    """The folder of the files of a part, None where they are nowhere. A download that was broken off is not taken."""
    if given := _given(source, part):
        return given
    names, folder = _names(part), places.downloads() / FOLDER
    whole = all((path := folder / name).is_file() and path.stat().st_size == _bytes(name) for name in names)
    return folder if whole else None


def _downloaded(root: Path) -> Path:
    from torchvision.datasets import STL10

    STL10(root, split="test", download=True)
    return root / FOLDER


def _names(part: str) -> list[str]:
    labels = ["train_y.bin", "test_y.bin"] if part == "labelled" else []
    return [f"{PARTS[part]}_X.bin", "test_X.bin", *labels]


def _bytes(name: str) -> int:
    """Of a file of the whole data set."""
    split, _, kind = name.partition("_")
    return COUNTS[split] * (3 * PIXELS**2 if kind == "X.bin" else 1)


def _images(place: Path, split: str) -> ndarray:
    """(N, 96, 96, 3) uint8, mapped; on disk each colour lies column by column."""
    path = place / f"{split}_X.bin"
    if why := openable.fault(path, most=None):
        raise ValueError(f"'{path}' cannot be read: {why}")
    if (size := path.stat().st_size) % (3 * PIXELS**2) or not size:
        raise ValueError(f"'{path}' has {size:,} bytes, not those of whole pictures of 96 x 96 pixels; fetch it again")
    return np.memmap(path, np.uint8, "r").reshape(-1, 3, PIXELS, PIXELS).transpose(0, 3, 2, 1)


def _labels(place: Path, split: str) -> list[int]:
    path = place / f"{split}_y.bin"
    labels, images = np.frombuffer(openable.read(path), np.uint8), len(_images(place, split))
    if len(labels) != images:
        raise ValueError(f"'{path}' has {len(labels):,} labels of {images:,} pictures; fetch it again")
    if wrong := sorted(set(labels.tolist()) - set(range(1, len(CLASSES) + 1))):
        raise ValueError(f"'{path}' has the label {wrong[0]}; labels are 1 to {len(CLASSES)}")
    return (labels.astype(int) - 1).tolist()
