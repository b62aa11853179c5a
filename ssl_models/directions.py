"""Features read as unit vectors, a block at a time, since they may be more than memory holds.

numpy only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples, B of a block, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

ROWS = 4096


@dataclass(frozen=True)
class Directions:
    """Features (N, D) of any float type, perhaps memory-mapped, read as unit vectors; a zero vector stays zero.

    name: whose features they are, for messages.
    """

    stored: ndarray
    name: str

    def __len__(self) -> int:
        return len(self.stored)

    def blocks(self, rows: int) -> Iterator[tuple[int, ndarray]]:
        """All of them in order, so many rows at a time, with where each block begins."""
        for begin in range(0, len(self), rows):
            yield begin, self.block(begin, begin + rows)

    def block(self, begin: int, end: int) -> ndarray:
        """(B, D) float32. Raises ValueError for features that are not finite."""
        rows = np.array(self.stored[begin:end], np.float32, order="C")
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if wrong := int((~np.isfinite(lengths)).sum()):
            where = f"{wrong} of samples {begin} to {begin + len(rows) - 1}"
            raise ValueError(f"{self.name} features that are not finite ({where}); train or extract again")
        rows /= np.maximum(lengths, np.finfo(np.float32).tiny)
        return rows

    def all(self) -> ndarray:
        """(N, D) float32 in memory, without a second copy of it on the way."""
        found = np.empty(self.stored.shape, np.float32)
        for begin, block in self.blocks(ROWS):
            found[begin : begin + len(block)] = block
        return found
