"""PASCAL VOC's layout (Everingham et al. 2010): pictures with boxes, from a folder, several of them, or an archive."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray

from ssl_models.cores import cores
from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.scaling import Depths, in_one_range
from ssl_models.datasets._common.split import IMAGES, Dataset, Split
from ssl_models.datasets._voc import annotation as annotated
from ssl_models.datasets._voc import frame, layout
from ssl_models.datasets._voc.layout import Listed, Listing
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
    resized: bool = False
    """Whether the boxes are of the picture before it was resized."""


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
    xmin - 1 to xmax. Pictures are turned upright as EXIF says. The annotation's <size> tells whether its boxes were
    drawn before or after that, and whether the picture was resized since; the boxes follow (_voc/frame.py), and
    `Dataset.notes` counts such pictures. Of images of one name the first by suffix is taken. Greys of more than 8 bits
    are scaled by the bits that the largest value of the data set has, floating-point numbers by its range.

    The first of these that exists is read: `source`, where it is a folder with Annotations/, JPEGImages/ and
    ImageSets/Main/, or one or two levels above such folders, which are joined (VOC2007 and VOC2012: "07+12");
    $COVEY_DATA/<archive less its suffixes>, the same; $COVEY_DATA/<archive>, which is not unpacked.
    train, test: the lists in ImageSets/Main, such as "trainval", or "VOC2007/trainval+VOC2012/train"; a list without a
    folder's name is taken in each that has it. By default test is "test", or "val" where there is none; and train is
    "trainval" or "train", the other way round where test is "val".

    `Dataset.skipped` names what is left out: listed pictures without an annotation or an image, or which cannot be
    read; pictures whose boxes are in shares of the sides, or in a frame that cannot be told; boxes without area or
    wholly outside the picture; those of a class that no training picture shows. A box that lies partly outside is
    clipped, one with exchanged corners put right.
    Raises FileNotFoundError where no data are found, ValueError for settings out of range, another layout, a broken
    archive, a picture in both splits, and a split without a readable picture.
    """
    _check_size(size)
    listing = layout.find(source, archive, train, test)
    found, notes = in_one_range(partial(_dataset, listing, size))
    return replace(found, notes=(*found.notes, *notes))


def _dataset(listing: Listing, size: int, depths: Depths) -> Dataset:
    skipped = list(listing.skipped)
    reads = []
    for name, listed in (("training", listing.train), ("test", listing.test)):
        with ThreadPoolExecutor(max_workers=min(8, cores())) as pool:
            found = list(pool.map(partial(_read, size=size, depths=depths), listed))
        skipped += [text for read in found for text in read.skipped]
        reads.append([read for read in found if read.image is not None])
        if not reads[-1]:
            why = f"; {skipped[0]}" if skipped else ""
            raise ValueError(f"'{listing.place}': none of the {name} pictures could be read{why}")
    classes = tuple(sorted({label for read in reads[0] for label, _ in read.objects}))
    unknown = sorted({label for read in reads[1] for label, _ in read.objects} - set(classes))
    skipped += [f"test boxes of '{label}': no training picture shows one" for label in unknown]
    train_split, test_split = (_split(found, classes) for found in reads)
    resized = sum(read.resized for found in reads for read in found)
    told = f"annotations of another size (<size>) than their picture, whose boxes were scaled by the ratio: {resized}"
    return Dataset(train_split, test_split, classes, tuple(skipped), notes=(told,) if resized else ())


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


def letterbox(image: Image, whole: ndarray, size: int) -> tuple[ndarray, ndarray, ndarray]:
    """A picture in the middle of a grey square, (3, size, size) uint8, and what moves x and y there: scale, offset.

    whole: (2,), the picture's width and height, of which `image` may be decoded at a fraction. A point lies at
    scale * point + offset.
    """
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation

    inner = np.maximum(1, np.rint(whole * size / whole.max()).astype(int))
    offset = (size - inner) // 2
    square = pillow.new("RGB", (size, size), (MIDDLE_GREY,) * 3)
    square.paste(image.resize(tuple(inner.tolist()), pillow.Resampling.BICUBIC), tuple(offset.tolist()))
    return np.asarray(square).transpose(2, 0, 1), inner / whole, offset


def _read(listed: Listed, size: int, depths: Depths) -> _Read:
    """One picture and its boxes, which lie in [0, size]. Errors are returned as texts."""
    try:
        annotation = annotated.parse(layout.content(listed.annotation))
        annotated.refuse_shares(annotation)
        with pictures.opened(layout.content(listed.image)) as image:
            orientation = pictures.orientation(image)
            sideways = orientation in frame.SIDEWAYS
            # Pillow gives the size of a TIFF as it is shown, and that of all others as it is stored.
            stored = image.size[::-1] if sideways and image.format == "TIFF" else image.size
            counted = frame.find(annotation, stored, orientation)
            whole = np.array(stored[::-1] if sideways else stored)
            image.draft(None, (2 * size, 2 * size))  # a JPEG far larger than that is decoded at a fraction of its size
            picture, scale, offset = letterbox(pictures.as_rgb(image, depths, upright=True), whole, size)
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises many types for broken files
        return _Read(None, skipped=[f"{listed.name}: {pictures.reason(error)}"])
    found = _Read(picture, resized=counted.size != counted.stored)
    for number, element in enumerate(annotation.findall("object"), 1):
        label = annotated.label_of(element)
        try:
            box = np.array(counted.upright(annotated.edges(element, *counted.size))).reshape(2, 2) * scale + offset
        except ValueError as error:
            found.skipped.append(f"{listed.name}, object {number} ('{label}'): {error}")
            continue
        difficult = element.findtext("difficult", "0").strip().lower() in ("1", "true")
        found.objects.append((label, [*box.flatten().tolist(), float(difficult)]))
    return found


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
    return Split({IMAGES: images}, truth={"boxes": boxes, "present": truth.present(boxes, len(reads), len(classes))})


def _check_size(size: int) -> None:
    if size < 1:
        raise ValueError(f"size = {size} must be at least 1 pixel")
