"""CIFAR-100 (Krizhevsky 2009): small photographs of a hundred classes, from a folder, an archive, or downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssl_models.datasets._common.split import Dataset
from ssl_models.datasets._known.cifar import Cifar

CIFAR = Cifar("cifar100", "CIFAR-100", "cifar-100-python")


def load(*, seed: int, source: str = "", size: int = 32, held_out: float = 0.0) -> Dataset:
    """Images (N, 3, size, size) uint8 and labels (N,), the classes in the order of their names.

    The first of these that exists is read: the folder `source`, which holds torchvision's cifar-100-python/ or any
    layout that folder.py reads (`seed` splits it where it has no splits); the same in $COVEY_DATA/cifar100/;
    {train,test}/CLASS/* in $COVEY_DATA/cifar100.tar.gz, which is not unpacked. Otherwise torchvision downloads the data
    to $COVEY_DOWNLOADS, by default .covey/downloads.
    held_out: share of the training images, drawn with `seed`, that take the place of the test images. These are not
    looked at then: for choosing settings.
    Raises FileNotFoundError where none of these places has the data; ValueError for a size below 1, a share of 1 or
    more, or a broken archive.
    """
    return CIFAR.load(_torchvision_sets, seed, source, size, held_out)


def count(
    *, source: str = "", size: int = 32, held_out: float = 0.0, seed: int = 0  # noqa: ARG001 - as load
) -> tuple[int, int]:  # fmt: skip
    """How many images `load` would open for train and test; nothing is downloaded."""
    return CIFAR.count(seed, source, held_out)


def files(*, source: str = "", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The folder that `load` would read and the files in it, or the archive; nothing where it would download them."""
    yield from CIFAR.files(source)


def _torchvision_sets(root: Path, download: bool = True) -> tuple[Any, Any]:
    from torchvision.datasets import CIFAR100

    return CIFAR100(root, train=True, download=download), CIFAR100(root, train=False, download=download)
