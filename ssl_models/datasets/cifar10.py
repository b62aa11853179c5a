"""CIFAR-10 (Krizhevsky 2009): small photographs of ten classes, from a folder, from an archive, or downloaded."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl_models.datasets import folder
from ssl_models.datasets._common import archive
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.pictures import SUFFIXES
from ssl_models.datasets._common.split import IMAGES, Dataset, Split
from ssl_models.datasets._pictures import decoding
from ssl_models.datasets._pictures.arrangement import Entry, Listing

TRAIN, TEST = 50_000, 10_000
"""The counts of the whole data set."""


def load(*, seed: int, source: str = "", size: int = 32) -> Dataset:
    """Images (N, 3, size, size) uint8 and labels (N,), the classes in alphabetical order.

    The first of these that exists is read: the folder `source` (any layout that folder.py reads; `seed` splits it where
    it has no splits); $COVEY_DATA/cifar10/{train,test}/CLASS/*; the same layout in $COVEY_DATA/cifar10.tar.gz, which is
    not unpacked. Otherwise torchvision downloads the data to $COVEY_DOWNLOADS, by default .covey/downloads. Raises
    FileNotFoundError where none of these succeeds; ValueError for a size below 1 or a broken archive.
    """
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")
    if place := _local_folder(source):
        return folder.load(seed=seed, source=str(place), size=size)
    packed = _archive()
    if packed and packed.is_file():
        return decoding.read(_list_archive(packed), str(packed), size=size)
    return _downloaded(size)


def count(*, source: str = "", size: int = 32, seed: int = 0) -> tuple[int, int]:  # noqa: ARG001 - as load
    """How many images `load` would open for train and test; nothing is downloaded."""
    if place := _local_folder(source):
        return folder.count(source=str(place), seed=seed)
    packed = _archive()
    if packed and packed.is_file():
        listing = _list_archive(packed)
        return len(listing.train), len(listing.test)
    return TRAIN, TEST


def _local_folder(source: str) -> Path | None:
    given = Path(source).expanduser()
    if source and given.is_dir():
        return given
    data = os.environ.get("COVEY_DATA")
    return Path(data) / "cifar10" if data and (Path(data) / "cifar10").is_dir() else None


def _archive() -> Path | None:
    data = os.environ.get("COVEY_DATA")
    return Path(data) / "cifar10.tar.gz" if data else None


def _list_archive(path: Path) -> Listing:
    """The members .../{train,test}/CLASS/NAME.png with their bytes, sorted; other members are passed over."""
    found: dict[str, list[tuple[str, str, bytes]]] = {"train": [], "test": []}
    skipped: list[str] = []
    passed_over = PassedOver()

    def is_image(name: str) -> bool:
        parts = PurePosixPath(name).parts[-3:]
        if len(parts) < 3 or parts[0] not in found:
            return False
        taken = PurePosixPath(parts[2]).suffix.lower() in SUFFIXES and not parts[2].startswith(".")
        if not taken:
            passed_over.add(parts[2])
        return taken

    for name, content in archive.members(path, is_image, skipped):
        parts = PurePosixPath(name).parts[-3:]
        found[parts[0]].append((parts[1], "/".join(parts), content))
    classes = tuple(sorted({name for name, _, _ in found["train"]}))
    if not found["train"] or not found["test"] or not {name for name, _, _ in found["test"]} <= set(classes):
        raise ValueError(f"'{path}' must hold train/CLASS/*.png, and test/CLASS/*.png of the same classes")
    train, test = (
        [Entry(name, content, classes.index(label)) for label, name, content in sorted(found[split])]
        for split in ("train", "test")
    )
    return Listing(train, test, classes, skipped=tuple(skipped), notes=passed_over.notes())


def _downloaded(size: int) -> Dataset:
    root = Path(os.environ.get("COVEY_DOWNLOADS") or ".covey/downloads")
    try:
        train, test = _torchvision_sets(root)
    except Exception as error:  # no network, a proxy's error page, a wrong checksum, or no torchvision
        data = os.environ.get("COVEY_DATA")
        place = f"'{data}'" if data else "not set"
        raise FileNotFoundError(
            "CIFAR-10 was found neither in `source` (no folder), nor as cifar10/ or cifar10.tar.gz in $COVEY_DATA "
            f"({place}), nor could it be downloaded to '{root}' ({type(error).__name__}: {error}). Put it in one of "
            "these places."
        ) from error
    splits = [Split({IMAGES: _resized(part.data, size)}, torch.tensor(part.targets)) for part in (train, test)]
    return Dataset(splits[0], splits[1], tuple(train.classes))


def _torchvision_sets(root: Path) -> tuple[Any, Any]:
    from torchvision.datasets import CIFAR10

    return CIFAR10(root, train=True, download=True), CIFAR10(root, train=False, download=True)


def _resized(images: np.ndarray, size: int) -> Tensor:
    """(N, 32, 32, 3) uint8 -> (N, 3, size, size) uint8."""
    from PIL import Image

    if images.shape[1:3] != (size, size):
        resample = Image.Resampling.BICUBIC
        images = np.stack([np.asarray(Image.fromarray(image).resize((size, size), resample)) for image in images])
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
