"""Writes the rows of a part as they are decoded: to memory, or to a .npy file that holds more than memory does."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import torch
from numpy import ndarray
from numpy.lib import format as npy
from torch import Tensor


class Writer(Protocol):
    """Rows of one shape and type, one after the other."""

    def append(self, row: ndarray) -> None:
        """The next row."""

    def put(self, position: int, row: ndarray) -> None:
        """Writes over a row that is there."""

    def finished(self) -> Tensor:
        """(N, *shape), of as many as have been appended."""


@contextmanager
def writer(
    rows: int, shape: tuple[int, ...], path: Path | None, dtype: type[np.generic] = np.uint8
) -> Iterator[Writer]:
    """In memory, or where `path` is given in that file, which is whole or not there.

    rows: how many there will be, as far as that is known; room is made for them at once. There may be more or fewer.
    Raises OSError with the file's name where the disk has no room for so many.
    """
    if path is None:
        yield _InMemory(rows, shape, np.dtype(dtype))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield _InFile(file, path, rows, shape, np.dtype(dtype))
    finally:
        temporary.unlink(missing_ok=True)


class _InMemory:
    def __init__(self, rows: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._array = np.empty((rows, *shape), dtype)
        self._count = 0

    def append(self, row: ndarray) -> None:
        if self._count == len(self._array):
            more = np.empty((self._count // 2 + 1, *self._array.shape[1:]), self._array.dtype)
            self._array = np.concatenate([self._array, more])
        self.put(self._count, row)
        self._count += 1

    def put(self, position: int, row: ndarray) -> None:
        self._array[position] = row

    def finished(self) -> Tensor:
        return torch.from_numpy(self._array[: self._count])


class _InFile:
    """Written by calls, not through a memory map, whose pages would count as memory of this process."""

    def __init__(self, file: BinaryIO, path: Path, rows: int, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._file, self._path, self._shape, self._dtype = file, path, shape, dtype
        self._count = 0
        self._write_header(rows)
        self._start, self._row = file.tell(), math.prod(shape) * dtype.itemsize
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, and not after hours
            try:
                os.posix_fallocate(file.fileno(), 0, self._start + rows * self._row)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from error

    def append(self, row: ndarray) -> None:
        self._file.write(row.tobytes())
        self._count += 1

    def put(self, position: int, row: ndarray) -> None:
        self._file.seek(self._start + position * self._row)
        self._file.write(row.tobytes())

    def finished(self) -> Tensor:
        self._file.seek(0)
        self._write_header(self._count)  # numpy leaves room for more rows: as long as the first one
        self._file.truncate(self._start + self._count * self._row)
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._file.name, self._path)
        return torch.from_numpy(np.load(self._path, mmap_mode="c"))  # "r" would have torch warn

    def _write_header(self, count: int) -> None:
        described = {"descr": npy.dtype_to_descr(self._dtype), "fortran_order": False}
        npy.write_array_header_1_0(self._file, described | {"shape": (count, *self._shape)})
