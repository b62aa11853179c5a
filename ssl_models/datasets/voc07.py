"""PASCAL VOC 2007 (Everingham et al. 2010): 9,963 photographs with boxes of 20 classes, from a folder or downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._known import places
from ssl_models.datasets._voc import layout

TRAIN, TEST = 5_011, 4_952
"""The counts of the lists trainval and test."""
LISTS = {"train": "trainval", "test": "test"}
KINDS = "voc07/ (with VOCdevkit/VOC2007 or the folders of VOC2007 in it)"


def load(*, seed: int, source: str = "", size: int = 128) -> Dataset:
    """Images (N, 3, size, size) uint8, boxes and which classes are present; no labels. As voc.load gives them.

    The list trainval is the training split, the list test the test split. The first of these that exists is read: the
    folder `source`, $COVEY_DATA/voc07, each with Annotations/, JPEGImages/ and ImageSets/Main/ in it or one or two
    levels below; what was downloaded whole before. Otherwise torchvision downloads 0.9 GB to $COVEY_DOWNLOADS, by
    default .covey/downloads. Raises FileNotFoundError where none of these succeeds; ValueError as voc.load does.
    """
    from ssl_models.datasets import voc

    place = _found(source) or places.fetched("VOC 2007", KINDS, _downloaded)
    return voc.load(seed=seed, source=str(place), size=size, **LISTS)


def count(*, source: str = "", size: int = 128, seed: int = 0) -> tuple[int, int]:
    """How many pictures `load` would open for train and test; nothing is downloaded."""
    from ssl_models.datasets import voc

    place = _found(source)
    return voc.count(source=str(place), size=size, seed=seed, **LISTS) if place else (TRAIN, TEST)


def files(*, source: str = "", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The folder that `load` would read, and its annotations, pictures and lists; nothing of what was downloaded."""
    if place := places.folder("voc07", source):
        yield "source", place
        yield from layout.files_in(place)


def _found(source: str) -> Path | None:
    if given := places.folder("voc07", source):
        return given
    devkit = places.downloads() / "VOCdevkit"
    whole = sum(1 for _ in (devkit / "VOC2007" / "JPEGImages").glob("*.jpg")) >= TRAIN + TEST
    return devkit if whole else None


def _downloaded(root: Path) -> Path:
    from torchvision.datasets import VOCDetection

    root.mkdir(parents=True, exist_ok=True)
    for image_set in LISTS.values():
        VOCDetection(root, year="2007", image_set=image_set, download=True)
    return root / "VOCdevkit"
