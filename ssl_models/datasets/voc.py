"""PASCAL VOC's layout (Everingham et al. 2010): pictures with boxes, from a folder, several of them, or an archive."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from math import isfinite
from typing import TYPE_CHECKING
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import numpy as np
import torch
from numpy import ndarray

from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._voc import layout
from ssl_models.datasets._voc.layout import Listed
from ssl_models.datasets._world import truth

if TYPE_CHECKING:
    from PIL.Image import Image

MIDDLE_GREY = 128


@dataclass(frozen=True)
class _Read:
    """image: (3, size, size) uint8, None where unreadable. objects: class; left, top, right, bottom, difficult."""

    image: ndarray | None
    objects: list[tuple[str, list[float]]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def load(
    *,
    seed: int,  # noqa: ARG001 - the contract of a reader; nothing is drawn here
    source: str = "",
    size: int = 128,
    archive: str = "bccd_voc.tar.gz",
    train: str = "",
    test: str = "",
) -> Dataset:
    """Images (N, 3, size, size) uint8, boxes and which classes are present; no labels. Classes in alphabetical order.

    A picture keeps its proportions: its long side is scaled to `size`, and it lies in the middle of a grey square.
    Boxes are moved with it. VOC counts pixels from 1, and both ends of a box belong to it, so a box reaches from
    xmin - 1 to xmax.

    The first of these that exists is read: `source`, where it is a folder with Annotations/, JPEGImages/ and
    ImageSets/Main/, or one or two levels above such folders, which are joined (VOC2007 and VOC2012: "07+12");
    $COVEY_DATA/<archive less its suffixes>, the same; $COVEY_DATA/<archive>, which is not unpacked.
    train, test: the lists in ImageSets/Main, such as "trainval", or "VOC2007/trainval+VOC2012/train"; a list without a
    folder's name is taken in each that has it. By default test is "test", or "val" where there is none; and train is
    "trainval" or "train", the other way round where test is "val".

    `Dataset.skipped` names what is left out: listed pictures without an annotation or an image, or which cannot be
    read; boxes without area or wholly outside the picture; those of a class that no training picture shows. A box that
    lies partly outside is clipped, one with exchanged corners put right.
    Raises FileNotFoundError where no data are found, ValueError for settings out of range, another layout, a broken
    archive, a picture in both splits, and a split without a readable picture.
    """
    _check_size(size)
    listing = layout.find(source, archive, train, test)
    skipped = list(listing.skipped)
    reads = []
    for name, listed in (("training", listing.train), ("test", listing.test)):
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            found = list(pool.map(partial(_read, size=size), listed))
        skipped += [text for read in found for text in read.skipped]
        reads.append([read for read in found if read.image is not None])
        if not reads[-1]:
            why = f"; {skipped[0]}" if skipped else ""
            raise ValueError(f"'{listing.place}': none of the {name} pictures could be read{why}")
    classes = tuple(sorted({label for read in reads[0] for label, _ in read.objects}))
    unknown = sorted({label for read in reads[1] for label, _ in read.objects} - set(classes))
    skipped += [f"test boxes of '{label}': no training picture shows one" for label in unknown]
    train_split, test_split = (_split(found, classes) for found in reads)
    return Dataset(train_split, test_split, classes, tuple(skipped))


def count(
    *,
    source: str = "",
    size: int = 128,
    archive: str = "bccd_voc.tar.gz",
    train: str = "",
    test: str = "",
    seed: int = 0,  # noqa: ARG001 - as load
) -> tuple[int, int]:
    """How many pictures `load` would open for train and test; it gives fewer where some cannot be read."""
    _check_size(size)
    listing = layout.find(source, archive, train, test)
    return len(listing.train), len(listing.test)


def letterbox(image: Image, size: int) -> tuple[ndarray, ndarray, ndarray]:
    """A picture in the middle of a grey square, (3, size, size) uint8, and what moves x and y there: scale, offset.

    A point lies at scale * point + offset. A JPEG far larger than `size` is decoded at a fraction of its size.
    """
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation

    whole = np.array(image.size)
    image.draft("RGB", (2 * size, 2 * size))
    inner = np.maximum(1, np.rint(whole * size / whole.max()).astype(int))
    offset = (size - inner) // 2
    square = pillow.new("RGB", (size, size), (MIDDLE_GREY,) * 3)
    square.paste(image.convert("RGB").resize(tuple(inner.tolist()), pillow.Resampling.BICUBIC), tuple(offset.tolist()))
    return np.asarray(square).transpose(2, 0, 1), inner / whole, offset


def _read(listed: Listed, size: int) -> _Read:
    """One picture and its boxes, which lie in [0, size]. Errors are returned as texts."""
    from PIL import Image as pillow  # noqa: N813 - as above

    try:
        annotation = ElementTree.fromstring(layout.content(listed.annotation))
        with pillow.open(BytesIO(layout.content(listed.image))) as image:
            width, height = image.size
            picture, scale, offset = letterbox(image, size)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for broken files
        return _Read(None, skipped=[f"{listed.name}: {type(error).__name__}: {error}"])
    found = _Read(picture)
    for number, element in enumerate(annotation.findall("object"), 1):
        label = " ".join(element.findtext("name", "").split())
        try:
            box = np.array(_edges(element, label, width, height)).reshape(2, 2) * scale + offset
        except ValueError as error:
            found.skipped.append(f"{listed.name}, object {number} ('{label}'): {error}")
            continue
        difficult = element.findtext("difficult", "0").strip().lower() in ("1", "true")
        found.objects.append((label, [*box.flatten().tolist(), float(difficult)]))
    return found


def _edges(element: Element, label: str, width: int, height: int) -> list[float]:
    """left, top, right, bottom in pixels from 0, clipped to the picture; raises ValueError saying what is wrong."""
    if not label:
        raise ValueError("it has no name")
    lows, highs = [], []
    for axis, side in (("x", width), ("y", height)):
        low, high = sorted(_number(element, f"{axis}{end}") for end in ("min", "max"))
        if low == high:
            raise ValueError(f"the box has no area: {axis}min and {axis}max are {low:g}")
        lows.append(max(low - 1, 0.0))
        highs.append(min(high, float(side)))
        if lows[-1] >= highs[-1]:
            raise ValueError(
                f"the box lies outside the picture of {width} x {height} pixels: {axis} from {low:g} to {high:g}"
            )
    return lows + highs


def _number(element: Element, name: str) -> float:
    text = element.findtext(f"bndbox/{name}", "").strip()
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise ValueError(f"{name} = '{text}' is not a number")
    return value


def _split(reads: list[_Read], classes: tuple[str, ...]) -> Split:
    number = {label: index for index, label in enumerate(classes)}
    rows = [
        [sample, number[label], *box]
        for sample, read in enumerate(reads)
        for label, box in read.objects
        if label in number
    ]
    boxes = torch.tensor(rows, dtype=torch.float32).view(-1, 7)
    images = torch.from_numpy(np.stack([read.image for read in reads if read.image is not None]))
    return Split(images, truth={"boxes": boxes, "present": truth.present(boxes, len(reads), len(classes))})


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")
