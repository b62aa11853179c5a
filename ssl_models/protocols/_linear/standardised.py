"""Features minus their mean, divided by their deviation. They are read in blocks, since they may exceed the memory.

Legend: N samples, B of a block, D features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.protocols._common.score import Representation

ROWS = 4096


@dataclass(frozen=True)
class Standardised:
    """stored: (N, D) of any float type, perhaps memory-mapped. mean, deviation: (D,) float32, of the training split."""

    stored: ndarray
    mean: Tensor
    deviation: Tensor

    def __len__(self) -> int:
        return len(self.stored)

    def rows(self, begin: int, end: int) -> Tensor:
        """(B, D) float32."""
        return (_read(self.stored, begin, end) - self.mean) / self.deviation

    def blocks(self, size: int = ROWS) -> Iterator[tuple[slice, Tensor]]:
        """All rows in order, `size` at a time, each block with its place."""
        for begin in range(0, len(self), size):
            end = min(begin + size, len(self))
            yield slice(begin, end), self.rows(begin, end)

    def all(self) -> Tensor:
        """(N, D) float32 in memory, without a second copy of it on the way."""
        found = torch.empty(self.stored.shape, dtype=torch.float32)
        for place, block in self.blocks():
            found[place] = block
        return found


def standardised(representation: Representation, layer: str, samples: int) -> Standardised:
    """The training features of a layer, by their own mean and deviation.

    Raises ValueError for features that are not one row for each sample, or not finite.
    """
    return standardised_rows(representation.features("train", layer), layer, samples)


def standardised_rows(stored: ndarray, layer: str, samples: int) -> Standardised:
    """As `standardised`, for training features (N, D) that are not stored with the representation."""
    if stored.ndim != 2 or len(stored) != samples:
        raise ValueError(f"layer '{layer}' has training features of shape {stored.shape} for {samples} labels")
    total = torch.zeros(stored.shape[1], dtype=torch.float64)
    for begin in range(0, samples, ROWS):
        total += _read(stored, begin, begin + ROWS).sum(0, dtype=torch.float64)
    mean = total / samples
    if not bool(mean.isfinite().all()):
        raise ValueError(f"layer '{layer}' has training features that are not finite; train or extract it again")
    squares = torch.zeros_like(total)
    for begin in range(0, samples, ROWS):
        squares += (_read(stored, begin, begin + ROWS) - mean.float()).square().sum(0, dtype=torch.float64)
    deviation = (squares / samples).sqrt()
    # A feature that never varies has a deviation from rounding only. It is set to zero instead of being scaled up.
    deviation[deviation <= 1e-6 * mean.abs() + 1e-12] = torch.inf
    return Standardised(stored, mean.float(), deviation.float())


def _read(stored: ndarray, begin: int, end: int) -> Tensor:
    return torch.from_numpy(np.array(stored[begin:end])).float()
