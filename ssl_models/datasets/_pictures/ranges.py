"""Pictures whose numbers have a range that only the whole data set tells: kept as they are until all are decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import SpooledTemporaryFile

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common.scaling import Depths, Range
from ssl_models.datasets._common.writer import Writer

IN_MEMORY = 2**26
"""Bytes of such pictures that are kept in memory; more of them go to a file."""


class Ranges:
    """Keeps such pictures, each with its place among the rows of its split; they are decoded once only."""

    def __init__(self, kept: SpooledTemporaryFile[bytes], side: int) -> None:
        self._kept, self._side = kept, side
        self._places: list[tuple[Writer, int, bool]] = []
        self._depths = Depths()

    def keep(self, rows: Writer, position: int, values: ndarray, span: Range) -> None:
        """values: (side, side) float32, of a picture whose values have that range."""
        self._kept.write(values.tobytes())
        self._places.append((rows, position, span.floats))
        self._depths.meet(span)

    def write(self) -> None:
        """Writes all that were kept to their places, scaled."""
        self._kept.seek(0)
        scale = self._depths.found()
        for rows, position, floats in self._places:
            values = np.frombuffer(self._kept.read(4 * self._side**2), np.float32)
            row = scale.of_8_bits(values, floats=floats).reshape(self._side, self._side)
            rows.put(position, np.broadcast_to(row, (3, *row.shape)))

    def notes(self) -> tuple[str, ...]:
        """How they were scaled."""
        return self._depths.notes()


@contextmanager
def ranges(side: int, room: Path | None) -> Iterator[Ranges]:
    """room: the folder in which a file may be made for them, until the block ends."""
    with SpooledTemporaryFile(IN_MEMORY, dir=None if room is None else str(room)) as kept:
        yield Ranges(kept, side)
