"""Pictures of any other reader as vectors of 0 and 1: small, grey, and split at a brightness."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
import torch

from ssl_models.bounds import require_fraction
from ssl_models.datasets._binary_pictures.binarising import binarised
from ssl_models.datasets._common.split import IMAGES, Dataset, Split
from ssl_models.errors import NeedsParts
from ssl_models.rows import middle

KIND = "strokes"
OWN, PICTURES = "binary_pictures", "pictures"
EXAMPLE = "such as {reader: cifar10, size: 32}"
GIVEN = ("seed", "source", "room")
"""What the other reader is given besides its settings, as far as it takes it."""


def load(
    *,
    seed: int,
    source: str,
    of: dict[str, Any],
    side: int = 8,
    threshold: float | None = None,
    room: Path | None = None,
) -> Dataset:
    """vectors (N, side * side) of 0 and 1, row by row; labels, label sets, factors and origin of the pictures.

    of: the reader of the pictures and its settings, such as {reader: cifar10, size: 32}. source: what it reads.
    side: cells each way. A cell is the mean over its part of the picture, in grey (ITU-R BT.601), of the middle where
      pictures are stored larger than they are used.
    threshold: a cell is 1 where it is brighter, of 0 (black) to 1 (white); None for the picture's own mean.
    room: a folder, in which the other reader may write pictures until they are read.
    known: binary, grid, and mean and deviation of the training split. What is known of the pictures' own frame, such
    as boxes, is left out.
    Raises ValueError for `of` without a reader of pictures, or with settings that it does not have, and for a side
    below 2 or over that of the pictures; NeedsParts for samples without pictures; and as the other reader.
    """
    reader, settings = _asked(seed, source, of, side, threshold)
    with TemporaryDirectory(dir=_made(room)) as kept:
        if room is not None and "room" in inspect.signature(reader.load).parameters:
            settings["room"] = Path(kept)
        pictures: Dataset = reader.load(**settings)
        train, test = (_split(split, pictures.size, side, threshold) for split in (pictures.train, pictures.test))
    return Dataset(
        train,
        test,
        pictures.classes,
        skipped=pictures.skipped,
        notes=pictures.notes,
        known=_known(side, train.parts["vectors"].double().mean(0).tolist()),
        label_sets=pictures.label_sets,
        left_out=pictures.left_out,
        what=pictures.what,
    )


def count(
    *, source: str, of: dict[str, Any], side: int = 8, threshold: float | None = None, seed: int = 0
) -> tuple[int, int]:
    """How many pictures the other reader would open for train and test; checks the settings as `load`."""
    reader, settings = _asked(seed, source, of, side, threshold)
    train, test = reader.count(**settings)
    return train, test


def describe(*, side: int = 8, **_: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape of a sample, and what is known but for the mean, which stands at 0.5."""
    return {"vectors": (side * side,)}, _known(side, [0.5] * side**2)


def _known(side: int, mean: list[float]) -> dict[str, Any]:
    deviation = [(share * (1 - share)) ** 0.5 for share in mean]
    return {"binary": True, "mean": mean, "deviation": deviation, "grid": [side, side]}


def _split(pictures: Split, size: int | None, side: int, threshold: float | None) -> Split:
    """size: of the middle that is used of larger pictures; None for all."""
    if IMAGES not in pictures.parts:
        raise NeedsParts((IMAGES,), pictures.parts, f"the reader '{OWN}'")
    images = pictures.images
    if size is not None:
        images = torch.from_numpy(np.asarray(middle(images.numpy(), (images.shape[1], size, size))))
    _check_side(side, min(images.shape[2:]))
    vectors = binarised(images, side, threshold)
    labels = {name: values for name, values in pictures.truth.items() if name.startswith("labels.")}
    return Split({"vectors": vectors}, pictures.labels, pictures.factors, labels, pictures.origin)


def _asked(
    seed: int, source: str, of: Mapping[str, Any], side: int, threshold: float | None
) -> tuple[ModuleType, dict[str, Any]]:
    """The other reader, and what its `load` and `count` are called with. Raises ValueError as `load`."""
    reader = _reader(of)
    takes = inspect.signature(reader.load).parameters
    if threshold is not None:
        require_fraction(threshold=threshold)
    for name in of:
        if name in GIVEN:
            raise ValueError(f"of has '{name}', which is the same for both readers; it stands outside of `of`")
        if name != "reader" and name not in takes:
            known = ", ".join(sorted(set(takes) - set(GIVEN)))
            raise ValueError(f"of has '{name}', and the reader '{of['reader']}' has no such setting; it has {known}")
    settings = {name: value for name, value in of.items() if name != "reader"}
    usual = takes["size"].default if "size" in takes else None
    size = settings.get("size", usual)
    _check_side(side, size if isinstance(size, int) else side)
    return reader, settings | {name: value for name, value in (("seed", seed), ("source", source)) if name in takes}


def _reader(of: Mapping[str, Any]) -> ModuleType:
    name = of.get("reader") if isinstance(of, Mapping) else None
    if not isinstance(name, str):
        raise ValueError(f"of is {of!r}; it must name a reader and its settings, {EXAMPLE}")
    if name == OWN:
        raise ValueError(f"of.reader is '{OWN}' itself; name the reader of the pictures, {EXAMPLE}")
    found = f"ssl_models.datasets.{name}"
    reader = import_module(found) if name.isidentifier() and find_spec(found) is not None else None
    if not hasattr(reader, "load"):
        raise ValueError(f"of.reader is '{name}', and there is no such reader; name one of pictures, {EXAMPLE}")
    if (kind := getattr(reader, "KIND", PICTURES)) != PICTURES:
        raise ValueError(f"of.reader is '{name}', whose data are {kind}; name a reader of pictures, {EXAMPLE}")
    assert reader is not None
    return reader


def _check_side(side: int, size: int) -> None:
    if side < 2:
        raise ValueError(f"side is {side}; it must be at least 2 cells")
    if side > size:
        raise ValueError(
            f"side is {side} cells, and the pictures have {size} pixels a side; there can be no more cells"
        )


def _made(room: Path | None) -> Path | None:
    if room is not None:
        room.mkdir(parents=True, exist_ok=True)
    return room
