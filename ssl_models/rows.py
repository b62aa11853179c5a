"""Samples in a file, read a few at a time, so that a process holds a batch and not the data set. numpy only.

Every page of a memory map that was read counts as resident memory of the process. What is read by position does not:
the system may keep it in its cache, and drops it from there for anything else. Legend: N samples.
"""

from __future__ import annotations

import math
import operator
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

BLOCK = 2**23
"""Bytes that are read at a time where the middle of each sample is cut out."""


class Rows:
    """Samples (N, ...) of a .npy file, with as much of an array's manner as its users need.

    `rows[n]`, `rows[a:b]` and `rows[numbers]` read an array; so does `np.asarray(rows)`, of all samples. There is no
    second index. The file stays open, and several threads may read at once.
    """

    def __init__(self, path: Path, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """shape: of the array that begins `offset` bytes into the file, in C's order."""
        self._file, self._stored, self._offset = _File(path), shape, offset
        self._cut: tuple[slice, ...] | None = None
        self._chosen: ndarray | None = None
        self.shape, self.dtype = shape, dtype

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all samples, as they are given."""
        return math.prod(self.shape) * self.dtype.itemsize

    def cut(self, lines: slice, columns: slice) -> Rows:
        """Pictures (N, C, H, W) as (N, C, H', W'): of each these lines and columns."""
        found = self._copy((*self.shape[:2], lines.stop - lines.start, columns.stop - columns.start))
        _, *before = self._cut or (slice(None), slice(0, None), slice(0, None))
        axes = zip(before, (lines, columns), strict=True)
        found._cut = slice(None), *(slice(old.start + new.start, old.start + new.stop) for old, new in axes)
        return found

    def only(self, numbers: ndarray) -> Rows:
        """Some of the samples; none of them is read yet."""
        found = self._copy((len(numbers), *self.shape[1:]))
        found._cut, found._chosen = self._cut, self._numbers(numbers)
        return found

    def __getitem__(self, key: Any) -> ndarray:
        """Raises IndexError for samples that there are not, and for a second index."""
        if isinstance(key, slice):
            numbers = range(*key.indices(len(self)))
            if self._chosen is None and numbers.step == 1:
                return self._run(numbers.start, len(numbers))
            return self._take(np.array(numbers, np.int64))
        if isinstance(key, tuple) or key is None or key is Ellipsis:
            raise IndexError(f"samples in a file are indexed by their numbers alone, not by {key!r}")
        if np.ndim(key) == 0:
            return np.asarray(self._take(np.array([operator.index(key)]))[0])
        return self._take(np.asarray(key))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> ndarray:
        if copy is False:
            raise ValueError("samples in a file cannot be an array without being read")
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def _copy(self, shape: tuple[int, ...]) -> Rows:
        found = object.__new__(Rows)
        found.__dict__.update(self.__dict__)
        found.shape = shape
        return found

    def _numbers(self, given: ndarray) -> ndarray:
        """Numbers of samples or a mask of them -> their numbers in the file."""
        numbers = np.flatnonzero(given) if given.dtype == bool else given.astype(np.int64)
        if len(numbers) and not -len(self) <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(
                f"there are {len(self)} samples, and the numbers go from {numbers.min()} to {numbers.max()}"
            )
        numbers = np.where(numbers < 0, numbers + len(self), numbers)
        return numbers if self._chosen is None else self._chosen[numbers]

    def _take(self, given: ndarray) -> ndarray:
        """Each sample by itself, in the order in which they lie."""
        numbers = self._numbers(given)
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        whole = found if self._cut is None else np.empty((1, *self._stored[1:]), self.dtype)
        for place in np.argsort(numbers, kind="stable").tolist():
            if self._cut is None:
                self._read(int(numbers[place]), whole[place : place + 1])
            else:
                self._read(int(numbers[place]), whole)
                found[place] = whole[0][self._cut]
        return found

    def _run(self, start: int, count: int) -> ndarray:
        """`count` samples, one after the other in the file."""
        found = np.empty((count, *self.shape[1:]), self.dtype)
        if self._cut is None:
            self._read(start, found)
            return found
        step = max(1, BLOCK // max(1, self._sample))
        for begin in range(0, count, step):
            whole = np.empty((min(step, count - begin), *self._stored[1:]), self.dtype)
            self._read(start + begin, whole)
            found[begin : begin + step] = whole[(slice(None), *self._cut)]
        return found

    @property
    def _sample(self) -> int:
        """Bytes of a sample in the file."""
        return math.prod(self._stored[1:]) * self.dtype.itemsize

    def _read(self, start: int, into: ndarray) -> None:
        self._file.read(self._offset + start * self._sample, into)


class _File:
    """An open file, closed with the last that reads it. A file that takes its place is not seen."""

    def __init__(self, path: Path) -> None:
        self.path, self.descriptor = path, os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "descriptor"):
            os.close(self.descriptor)

    def read(self, position: int, into: ndarray) -> None:
        """Fills the array `into`, in C's order, from `position` on. Raises OSError for a file that ends before."""
        if not into.nbytes:
            return
        ahead = into.reshape(-1).view(np.uint8).data
        while len(ahead):
            count = os.preadv(self.descriptor, [ahead], position)
            if not count:
                raise OSError(f"{self.path} has become shorter while it was read: it ends after {position} bytes")
            ahead, position = ahead[count:], position + count


Samples = ndarray | Rows
"""Part of the samples, (N, ...) as stored: in memory, memory-mapped, or in a file."""


def open_rows(path: Path) -> Samples:
    """The array of a .npy file; a memory map where it is in Fortran's order. Raises as np.load for a damaged file."""
    mapped = np.load(path, mmap_mode="r")  # reads the header, and that the file is as long as it says
    return Rows(path, mapped.offset, mapped.shape, mapped.dtype) if mapped.flags.c_contiguous else mapped


def middle(stored: Samples, shape: tuple[int, ...]) -> Samples:
    """(N, C, H', W') -> the middle (N, C, H, W) of a picture of shape (C, H, W), without a copy; else as it is."""
    if stored.shape[1:] == shape:
        return stored
    top, left = (stored.shape[2] - shape[1]) // 2, (stored.shape[3] - shape[2]) // 2
    lines, columns = slice(top, top + shape[1]), slice(left, left + shape[2])
    return stored.cut(lines, columns) if isinstance(stored, Rows) else stored[:, :, lines, columns]


def chosen(samples: Samples, numbers: ndarray) -> Samples:
    """Some of the samples; those of a file are not read yet."""
    return samples.only(numbers) if isinstance(samples, Rows) else samples[numbers]
