"""Writes pictures as they are decoded: to memory, or to a .npy file that holds more than memory does."""

from __future__ import annotations

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
    """Pictures (3, side, side) uint8, one after the other."""

    def append(self, row: ndarray) -> None:
        """The next row."""

    def put(self, position: int, row: ndarray) -> None:
        """Writes over a row that is there."""

    def finished(self) -> Tensor:
        """(N, 3, side, side), of as many as have been appended."""


@contextmanager
def writer(most: int, side: int, path: Path | None) -> Iterator[Writer]:
    """For at most so many rows: in memory, or where `path` is given in that file, which is whole or not there.

    Raises OSError with the file's name where the disk has no room for `most` rows.
    """
    if path is None:
        yield _InMemory(most, side)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield _InFile(file, path, most, side)
    finally:
        temporary.unlink(missing_ok=True)


class _InMemory:
    def __init__(self, most: int, side: int) -> None:
        self._array = np.empty((most, 3, side, side), np.uint8)
        self._count = 0

    def append(self, row: ndarray) -> None:
        self.put(self._count, row)
        self._count += 1

    def put(self, position: int, row: ndarray) -> None:
        self._array[position] = row

    def finished(self) -> Tensor:
        return torch.from_numpy(self._array[: self._count])


class _InFile:
    """Written by calls, not through a memory map, whose pages would count as memory of this process."""

    def __init__(self, file: BinaryIO, path: Path, most: int, side: int) -> None:
        self._file, self._path, self._shape = file, path, (3, side, side)
        self._count = 0
        self._write_header(most)
        self._start, self._row = file.tell(), 3 * side * side
        if hasattr(os, "posix_fallocate"):  # a full disk is an error now, and not after hours
            try:
                os.posix_fallocate(file.fileno(), 0, self._start + most * self._row)
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
        self._write_header(self._count)  # numpy leaves room for more rows: as long as the first
        self._file.truncate(self._start + self._count * self._row)
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._file.name, self._path)
        return torch.from_numpy(np.load(self._path, mmap_mode="c"))  # "r" would have torch warn

    def _write_header(self, count: int) -> None:
        described = {"descr": npy.dtype_to_descr(np.dtype(np.uint8)), "fortran_order": False}
        npy.write_array_header_1_0(self._file, described | {"shape": (count, *self._shape)})
