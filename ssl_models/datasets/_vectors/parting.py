"""The rows of a table that can be used, by split, and the columns that are kept.

Legend: N rows, D columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from ssl_models.datasets._folder.draw import chosen_for_test
from ssl_models.datasets._vectors import classes, numbers
from ssl_models.datasets._vectors.table import Table, check_rows


@dataclass(frozen=True)
class Parted:
    """train, test: indices of rows, ascending. columns: indices of those that are kept.

    mean, deviation: of the kept columns in the training split, before anything is scaled. binary: whether every number
    of all rows that are used is 0 or 1. labels: (N,) int64 of `classes`, None for none. skipped: a text for each
    reason for which rows are left out.
    """

    table: Table
    train: ndarray
    test: ndarray
    columns: ndarray
    mean: ndarray
    deviation: ndarray
    binary: bool
    labels: ndarray | None
    classes: tuple[str, ...]
    skipped: tuple[str, ...]


def parted(table: Table, seed: int, test_fraction: float, *, refuse: bool) -> Parted:
    """Draws the test split: of each class at least one row, but not all; without labels of all rows.

    refuse: whether a row that cannot be used is an error.
    Raises ValueError, without the file's name, for too few rows that can be used, and where all columns are constant.
    """
    whole = numbers.finite(table.numbers)
    skipped = [] if whole.all() else [_not_finite(table, whole)]
    labels: ndarray | None = None
    names: tuple[str, ...] = ()
    if table.labels is not None and whole.any():
        labels = np.full(len(whole), classes.NONE)
        labels[whole], names = classes.numbered(table.labels[whole])
        if (bare := whole & (labels == classes.NONE)).any():
            skipped.append(_left_out(bare, "no label", table.place(int(bare.argmax()))))
            whole &= ~bare
    if skipped and refuse:
        raise ValueError(skipped[0])
    kept = np.flatnonzero(whole)
    if len(kept) < 2:
        check_rows(len(table.numbers))
        raise ValueError(f"{'one row' if len(kept) else 'no row'} can be used: {'; '.join(skipped)}")
    train, test = _drawn(kept, labels, len(names), test_fraction, seed)
    found = numbers.moments(table.numbers, train)
    if not found.varies.any():
        raise ValueError(
            f"every column is constant in the training split of {len(train):,} rows; there is nothing to learn"
        )
    binary = numbers.of_0_and_1(table.numbers, kept)
    columns = np.arange(len(found.varies)) if binary else np.flatnonzero(found.varies)
    mean, deviation = found.mean[columns], found.deviation[columns]
    return Parted(table, train, test, columns, mean, deviation, binary, labels, names, tuple(skipped))


def _drawn(
    kept: ndarray, labels: ndarray | None, of_classes: int, test_fraction: float, seed: int
) -> tuple[ndarray, ndarray]:
    """The rows of the training and of the test split, of those in `kept`."""
    groups = [kept] if labels is None else [kept[labels[kept] == label] for label in range(of_classes)]
    for_test = np.zeros(int(kept[-1]) + 1, bool)
    for number, rows in enumerate(groups):
        for_test[rows[sorted(chosen_for_test(len(rows), test_fraction, (seed, number)))]] = True
    return kept[~for_test[kept]], kept[for_test[kept]]


def _not_finite(table: Table, whole: ndarray) -> str:
    first = int((~whole).argmax())
    column = table.column(numbers.first_not_finite(table.numbers[first]))
    what = "NaN or infinity" if table.lines is None else "NaN, infinity or an empty cell"
    return _left_out(~whole, what, f"{table.place(first)}, column {column}")


def _left_out(rows: ndarray, what: str, first: str) -> str:
    """Such as "3 of 150 rows with NaN or infinity, the first line 12, column 'x'"."""
    count = int(rows.sum())
    return f"{count:,} of {len(rows):,} rows with {what}, the first {first}"
