"""Small pictures of many samples, on sheets that a page loads: WebP, and all together below a number of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy
from PIL import Image

from tasks.artifacts.pictures import sheet

BUDGET = 8_000_000
"""Bytes of all sheets together."""
SHARE = 0.9
"""Of the budget is planned with: a part of the thumbnails tells how many bytes all take."""
SHEET = 1024
"""The most thumbnails on a sheet."""
ACROSS, WIDEST = 32, 4096
"""The most thumbnails in a row and in a column of a sheet, and its most pixels each way."""
PROBE = 512
"""Thumbnails that are encoded to learn their bytes."""
LADDER = (
    *((256, 80), (160, 80), (128, 80), (96, 80), (88, 74), (80, 70), (72, 66), (64, 62)),
    *((56, 58), (52, 54), (48, 50), (44, 46), (40, 42), (36, 40), (32, 40), (28, 36), (24, 36)),
)
"""Longer side in pixels and quality, from the best. The last is taken where none keeps to the budget, as for more than
some 45,000 photographs."""
Picture = Callable[[int], numpy.ndarray]
"""The number of a sample -> (H, W, 3) uint8, of one size for all."""


@dataclass(frozen=True)
class Plan:
    """How thumbnails are drawn and laid out. rows: of a full sheet."""

    width: int
    height: int
    quality: int
    columns: int
    rows: int

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def of_sheet(self) -> int:
        """Thumbnails on a full sheet."""
        return self.columns * self.rows


def plan(picture: Picture, count: int) -> Plan:
    """The largest thumbnails whose sheets stay below the budget, for samples 0 to count - 1; never enlarged."""
    probe = numpy.linspace(0, count - 1, min(count, PROBE)).round().astype(int)
    pictures = [picture(int(number)) for number in probe]
    for side, quality in LADDER:
        found = _laid_out(pictures[0], side, quality, count)
        small = [scaled(one, found.size) for one in pictures]
        sheets = (small[begin : begin + found.of_sheet] for begin in range(0, len(small), found.of_sheet))
        spent = sum(len(encoded(one, found)) for one in sheets)
        if spent * count / len(probe) <= SHARE * BUDGET:
            break
    return found


def _laid_out(example: numpy.ndarray, side: int, quality: int, count: int) -> Plan:
    height, width = example.shape[:2]
    scale = min(1.0, side / max(height, width))
    height, width = max(1, round(scale * height)), max(1, round(scale * width))
    columns = min(ACROSS, WIDEST // width, count)
    return Plan(width, height, quality, columns, min(SHEET // columns, ACROSS, WIDEST // height, -(-count // columns)))


def drawn(picture: Picture, count: int, found: Plan) -> Iterator[list[numpy.ndarray]]:
    """The thumbnails of each sheet, in the order of the samples."""
    for begin in range(0, count, found.of_sheet):
        yield [scaled(picture(number), found.size) for number in range(begin, min(count, begin + found.of_sheet))]


def scaled(picture: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """(H, W, 3) uint8 at this width and height."""
    if picture.shape[1::-1] == size:
        return picture
    return numpy.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def encoded(pictures: Sequence[numpy.ndarray], found: Plan) -> bytes:
    """The WebP file of one sheet, row by row from the top left."""
    lines = [list(pictures[begin : begin + found.columns]) for begin in range(0, len(pictures), found.columns)]
    content = BytesIO()
    Image.fromarray(sheet(lines, found.columns, gap=0)).save(content, "WEBP", quality=found.quality, method=4)
    return content.getvalue()
