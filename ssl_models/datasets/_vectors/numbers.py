"""What is computed of a table's numbers, a block of rows at a time: files may be larger than what fits twice.

Legend: N rows, D columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

BLOCK = 2**21
"""Numbers of a block."""
LEAST = 1e-12
"""A column whose deviation is at most this share of its largest number is constant but for rounding."""


@dataclass(frozen=True)
class Moments:
    """Of some rows, (D,) float64 each. deviation: with N, not N - 1, below the root."""

    mean: ndarray
    deviation: ndarray
    largest: ndarray

    @property
    def varies(self) -> ndarray:
        """(D,) bool: whether a column is not constant."""
        found: ndarray = self.deviation > LEAST * self.largest
        return found


def finite(numbers: ndarray) -> ndarray:
    """(N,) bool: whether all numbers of a row are finite as float32."""
    return np.concatenate([_finite(block).all(1) for block in _blocks(numbers)])


def first_not_finite(row: ndarray) -> int:
    """The first column of a row (D,) whose number is not finite."""
    return int((~_finite(row)).argmax())


def of_0_and_1(numbers: ndarray, rows: ndarray) -> bool:
    """Whether these rows hold no other number; it stops at the first one that there is."""
    return all(((block == 0) | (block == 1)).all() for block in _chosen(numbers, rows))


def moments(numbers: ndarray, rows: ndarray) -> Moments:
    """Of the rows whose indices are given, in two passes: the mean, then what is about it."""
    count, width = len(rows), numbers.shape[1]
    total, largest = np.zeros(width), np.zeros(width)
    for block in _chosen(numbers, rows):
        total += block.sum(0)
        largest = np.maximum(largest, np.abs(block).max(0))
    mean, squares = total / count, np.zeros(width)
    for block in _chosen(numbers, rows):
        squares += np.square(block - mean).sum(0)
    return Moments(mean, np.sqrt(squares / count), largest)


def stored(
    numbers: ndarray, rows: ndarray, columns: ndarray, shift: ndarray | float, scale: ndarray | float
) -> ndarray:
    """(rows, columns) float32: (x - shift) / scale, both for each column or one for all.

    Raises ValueError where that is larger than float32 holds.
    """
    found, start = np.empty((len(rows), len(columns)), np.float32), 0
    with np.errstate(over="ignore"):
        for block in _chosen(numbers, rows):
            found[start : start + len(block)] = (block[:, columns] - shift) / scale
            start += len(block)
    if not np.isfinite(found).all():
        raise ValueError("a number of it is over 3e38 deviations of the training split away from the mean")
    return found


def _finite(numbers: ndarray) -> ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        found: ndarray = np.isfinite(np.asarray(numbers).astype(np.float32))
    return found


def _blocks(numbers: ndarray) -> Iterator[ndarray]:
    step = max(1, BLOCK // numbers.shape[1])
    for start in range(0, len(numbers), step):
        yield np.asarray(numbers[start : start + step])


def _chosen(numbers: ndarray, rows: ndarray) -> Iterator[ndarray]:
    """Blocks of these rows as float64."""
    step = max(1, BLOCK // numbers.shape[1])
    for start in range(0, len(rows), step):
        yield np.asarray(numbers[rows[start : start + step]], np.float64)
