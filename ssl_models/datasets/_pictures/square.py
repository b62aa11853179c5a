"""One picture of any format, mode and orientation as a square: its short side scaled, its middle kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Semaphore
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.scaling import Depths, Range
from ssl_models.datasets._pictures.found import Content

if TYPE_CHECKING:
    from PIL.Image import Image

LARGE = 2**24
"""Pixels from which a picture is large: decoded, with its copies, it may take a gigabyte."""
LARGE_AT_ONCE = Semaphore(2)


@dataclass(frozen=True)
class Square:
    """pixels: (3, side, side) uint8, or (side, side) float32 where `values` has their range.

    size: width and height of the whole picture, upright. colours: the largest of the upper 8 bits of colours of 16;
    None for other pictures. several: the file holds further pictures, which are not read.
    """

    pixels: ndarray
    size: tuple[int, int]
    values: Range | None = None
    colours: int | None = None
    several: bool = False


def square(content: Content, side: int, spare: float = 2) -> Square:
    """The first picture of a file, scaled by BICUBIC with antialiasing; transparent parts lie on white.

    spare: a JPEG is decoded at a fraction of its size where that is at least `spare` times `side`, which saves time.
    Raises what Pillow raises for broken files, of many types: OSError, SyntaxError, struct.error, ValueError.
    """
    with pictures.opened(content() if callable(content) else content) as image:
        width, height = image.size
        image.draft(None, (math.ceil(spare * side),) * 2)
        depths = Depths()
        with _few_large_ones(image):
            values = pictures.deep_values(image, upright=True)
            picture = pictures.as_rgb(image, depths, upright=True) if values is None else _of_values(values)
            pixels = np.asarray(_fitted(picture, side))
        if image.format != "TIFF" and pictures.orientation(image) > 4:  # Pillow tells a TIFF's size as it is upright
            width, height = height, width
        several = False
        with suppress(Exception):  # the first picture is read, whatever follows it
            several = bool(getattr(image, "is_animated", False))
    colours = depths.colours[0] if depths.colours else None
    if values is None:
        return Square(pixels.transpose(2, 0, 1), (width, height), None, colours, several)
    return Square(pixels, (width, height), Range.of(values), None, several)


@contextmanager
def _few_large_ones(image: Image) -> Iterator[None]:
    if image.width * image.height < LARGE:
        yield
        return
    with LARGE_AT_ONCE:
        yield


def _of_values(values: ndarray) -> Image:
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation

    return pillow.fromarray(values.astype(np.float32))


def _fitted(picture: Image, side: int) -> Image:
    from PIL import Image as pillow  # noqa: N813 - `Image` is the annotation
    from PIL import ImageOps

    if picture.size == (side, side):
        return picture
    return ImageOps.fit(picture, (side, side), pillow.Resampling.BICUBIC)
