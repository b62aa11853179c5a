"""A table of numbers as it lies in a file, and what is refused of its type and its shape.

Legend: N rows, D columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

COUNTED = "counted from 0"


@dataclass(frozen=True)
class Table:
    """What was read of a file.

    numbers: (N, D) of any real type; in memory, or mapped. labels: (N,) of whole numbers or text, None for none.
    columns: the names of the D columns; empty where they have none. lines: (N,) int64, where each row stands in a file
    of text. share: of all rows, those that were read.
    """

    numbers: ndarray
    labels: ndarray | None = None
    columns: tuple[str, ...] = ()
    lines: ndarray | None = None
    share: float = 1.0

    def place(self, row: int) -> str:
        """Where a row stands, for messages."""
        return f"row {row} ({COUNTED})" if self.lines is None else f"line {self.lines[row]}"

    def column(self, index: int) -> str:
        """What a column is called, for messages."""
        return f"'{self.columns[index]}'" if self.columns else str(index)


def check_type(dtype: np.dtype[Any]) -> None:
    """Raises ValueError for what holds no real numbers."""
    words = {
        "O": "it holds Python objects, that is a pickle, and pickles are never read; save an array of numbers",
        "c": "it holds complex numbers; save their real and imaginary parts as columns of their own",
        "U": "it holds text; save an array of numbers",
        "S": "it holds text; save an array of numbers",
    }
    if dtype.kind not in "biuf":
        raise ValueError(words.get(dtype.kind, f"it holds the type {dtype}; save an array of numbers"))


def check_shape(shape: tuple[int, ...]) -> None:
    """Raises ValueError for what is no table of at least two rows."""
    if len(shape) != 2:
        way = "x[:, None] has one number a row" if len(shape) < 2 else "x.reshape(len(x), -1) has one row a sample"
        raise ValueError(f"it has the shape {shape}, and vectors have two dimensions, rows and columns; {way}")
    if 0 in shape:
        raise ValueError(f"it is empty: it has the shape {shape}")
    check_rows(shape[0])


def check_rows(rows: int) -> None:
    """Raises ValueError for fewer than two."""
    if rows < 2:
        raise ValueError(f"it has {'one row' if rows else 'no row'}; the training and the test split need one each")
