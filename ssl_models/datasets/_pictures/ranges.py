"""Pictures whose numbers have a range that only the whole data set tells: kept as they are until all are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import pictures
from ssl_models.datasets._pictures.square import Range
from ssl_models.datasets._pictures.writer import Writer

IN_MEMORY = 2**26
"""Bytes of such pictures that are kept in memory; more of them go to a file."""


class Ranges:
    """Keeps such pictures, each with its place among the rows of its split; they are decoded once only.

    12 bits in files of 16 would be all but black, and each picture scaled by itself would lose which one is brighter.
    So the largest grey of the data set tells the bits, and floating-point numbers go from its smallest to its largest.
    """

    def __init__(self, kept: SpooledTemporaryFile[bytes], side: int) -> None:
        self._kept, self._side = kept, side
        self._places: list[tuple[Writer, int, bool]] = []
        self._largest: int | None = None
        self._floats: tuple[float, float] | None = None

    def keep(self, rows: Writer, position: int, values: ndarray, span: Range) -> None:
        """values: (side, side) float32, of a picture whose values have that range."""
        self._kept.write(values.tobytes())
        self._places.append((rows, position, span.floats))
        if span.floats:
            low, high = self._floats or (span.low, span.high)
            self._floats = min(low, span.low), max(high, span.high)
        else:
            self._largest = max(self._largest or 0, int(span.high))

    def write(self) -> None:
        """Writes all that were kept to their places, scaled."""
        self._kept.seek(0)
        for rows, position, floats in self._places:
            values = np.frombuffer(self._kept.read(4 * self._side**2), np.float32).astype(np.float64)
            scaled = self._of_floats(values) if floats else self._of_greys(values)
            row = scaled.astype(np.uint8).reshape(self._side, self._side)
            rows.put(position, np.broadcast_to(row, (3, *row.shape)))

    def notes(self) -> tuple[str, ...]:
        """How they were scaled."""
        told = () if self._largest is None else pictures.told_of_greys(self._largest)
        if self._floats:
            low, high = self._floats
            number = sum(floats for _, _, floats in self._places)
            told += (
                f"floating-point numbers, in {number:,} picture{'' if number == 1 else 's'}: they go from {low:.6g} to "
                f"{high:.6g}, which are read as black and white",
            )
        return told

    def _of_greys(self, values: ndarray) -> ndarray:
        white = 2 ** pictures.bits_of(self._largest or 0) - 1
        return values.round().clip(0, white).astype(np.int64) * 255 // white

    def _of_floats(self, values: ndarray) -> ndarray:
        low, high = self._floats or (0.0, 0.0)
        return ((values - low) * (255 / ((high - low) or 1))).round().clip(0, 255)


@contextmanager
def ranges(side: int, room: Path | None) -> Iterator[Ranges]:
    """room: the folder in which a file may be made for them, until the block ends."""
    with SpooledTemporaryFile(IN_MEMORY, dir=None if room is None else str(room)) as kept:
        yield Ranges(kept, side)
