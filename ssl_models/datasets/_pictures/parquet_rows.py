"""The bytes of pictures in parquet files, row by row: a few stretches of rows are in memory at once."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ssl_models.datasets._pictures import parquet_columns

STRETCH_BYTES = 2**24
"""About as much is decoded at once, and at least FEWEST_ROWS rows: those that several threads ask for at one time."""
FEWEST_ROWS, MOST_ROWS = 32, 1024
KEPT, OPEN_FILES = 3, 2
"""Stretches of one file, and files."""


class Tables:
    """Files of pictures, each as its path and the leaf to read. Several threads may read at once."""

    def __init__(self, tables: Sequence[tuple[Path, str]]) -> None:
        self._tables = tables
        self._open: OrderedDict[int, _Stretches] = OrderedDict()
        self._lock = Lock()

    def picture(self, number: int, row: int) -> bytes:
        """The bytes of a row of the file `number`. Raises ValueError for a row without, and for a damaged file."""
        path, leaf = self._tables[number]
        with self._lock, parquet_columns.told(path):
            if number not in self._open:
                self._open[number] = _Stretches(path, leaf)
                if len(self._open) > OPEN_FILES:
                    self._open.popitem(last=False)[1].close()
            self._open.move_to_end(number)
            content = self._open[number].value(row)
        if content is None:
            raise ValueError("the row holds no bytes of a picture")
        return content


@dataclass(frozen=True, slots=True)
class Row:
    """What reads one picture when it is wanted."""

    tables: Tables
    file: int
    row: int

    def __call__(self) -> bytes:
        return self.tables.picture(self.file, self.row)


class _Stretches:
    """One file, decoded forwards in stretches of rows, of which the last few are kept.

    Rows that are asked for in about their order are decoded once. A row before those that are kept begins its row group
    anew. A whole row group is never in memory: it may hold all of a file, and pyarrow refuses structs of over 2 GiB.
    """

    def __init__(self, path: Path, leaf: str) -> None:
        self._file, self._leaf = parquet_columns.opened(path), leaf
        metadata = self._file.metadata
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self._starts = np.cumsum([0, *(group.num_rows for group in groups)])
        mean = sum(group.total_byte_size for group in groups) // max(1, metadata.num_rows)
        self._rows = min(MOST_ROWS, max(FEWEST_ROWS, STRETCH_BYTES // max(1, mean)))
        self._kept: deque[tuple[int, Any]] = deque(maxlen=KEPT)
        self._ahead: Iterator[Any] = iter(())
        self._group, self._next = -1, 0

    def value(self, row: int) -> bytes | None:
        for first, values in self._kept:
            if first <= row < first + len(values):
                return values[row - first].as_py()
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        if group != self._group or row < self._next:
            self._begin(group)
        while row >= self._next:
            self._decode()
        first, values = self._kept[-1]
        return values[row - first].as_py()

    def close(self) -> None:
        self._file.close()

    def _begin(self, group: int) -> None:
        self._group, self._next = group, int(self._starts[group])
        self._ahead = self._file.iter_batches(
            batch_size=self._rows, row_groups=[group], columns=[self._leaf], use_threads=False
        )

    def _decode(self) -> None:
        try:
            batch = next(self._ahead)
        except StopIteration:
            raise OSError(f"its row group {self._group} ends before its row {self._next}") from None
        except Exception:
            self._group = -1  # begun anew by the next row
            raise
        if len(batch):
            self._kept.append((self._next, parquet_columns.leaf_values(batch, self._leaf)))
            self._next += len(batch)
