"""Vectors of one's own: a table of numbers with a row a sample, as .npy, .npz or .csv."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray

from ssl_models.datasets._common import files
from ssl_models.datasets._common.choices import check_test_fraction, check_unreadable
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._vectors import numbers, reading
from ssl_models.datasets._vectors.parting import Parted, parted
from ssl_models.datasets._vectors.table import COUNTED

KIND = "density"
READ = 2**24
"""Bytes of a table that `count` and `describe` read; of larger ones the first rows stand for all."""
AROUND, MARGIN = 4.0, 1.0
"""Deviations that the extent goes to at least, and beyond the outermost number."""
NAMED = 10
"""Columns that a note names."""
USUAL = (0.5, 2.0)
"""Deviations for which steps and noise in units of 1 do."""


def load(
    *,
    seed: int,
    source: str,
    test_fraction: float = 0.2,
    standardise: bool = True,
    labels: str = "",
    unreadable: str = "skip",
) -> Dataset:
    """vectors (N, D) float32, and labels (N,) where there are any.

    source: a .npy, (N, D); a .npz with one array or with the array `vectors`, and maybe `labels` (N,); or a .csv with a
        line of names, whose columns are parted by commas, semicolons or tabs, and hold numbers. Labels are whole
        numbers or text. A pickle is never read.
    test_fraction: of the rows, of each class where there are classes, drawn with `seed`.
    standardise: whether real numbers are shifted and scaled to mean 0 and deviation 1 of the training split. Where
        every number of the table is 0 or 1 it is binary, and stays as it is. Of a table that is not, columns that are
        constant in the training split are left out, and named in the notes. What works on energies takes deviations to
        be about 1; where others stay as they are, a note says so.
    labels: the column of a .csv that holds classes; "" for none. Of a .npz, the array; "" for `labels`, if any.
    unreadable: "skip" leaves out rows with NaN, infinity or no label, counts them in `Dataset.skipped` and names the
        first; "refuse" raises.
    known: binary, mean and deviation of the training split as it is stored; of standardised data also original_mean and
        original_deviation; the extent of one or two real numbers, that of all and a deviation more, 4 deviations at
        least; of binary data with a square number of columns the grid.
    Raises FileNotFoundError for no such file; ValueError for settings out of range, and with the file's name for what
    is no table of at least two rows of finite numbers, and for a table whose columns are all constant.
    """
    found = _parted(source, seed, test_fraction, labels, unreadable, None)
    train, test = _stored(found, source, standardise)
    return Dataset(
        _split(found, train, found.train),
        _split(found, test, found.test),
        found.classes,
        skipped=tuple(f"{files.printable(Path(source).name)}: {told}" for told in found.skipped),
        notes=(*_notes(found), *_scales(found, standardise)),
        known=_known(found, standardise, train, test),
        what=_what(found, standardise),
    )


def count(
    *,
    source: str,
    seed: int = 0,
    test_fraction: float = 0.2,
    standardise: bool = True,  # noqa: ARG001 - as load
    labels: str = "",
    unreadable: str = "skip",
) -> tuple[int, int]:
    """How many rows `load` gives for train and test. Of a table of more than READ bytes it is an estimate.

    Raises as `load` does for what it reads.
    """
    found = _parted(source, seed, test_fraction, labels, unreadable, READ)
    train, test = (round(len(rows) / found.table.share) for rows in (found.train, found.test))
    return train, test


def describe(
    *,
    source: str,
    seed: int = 0,
    test_fraction: float = 0.2,
    standardise: bool = True,
    labels: str = "",
    unreadable: str = "skip",
) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape of a sample and what `load` makes known; by the first rows where the table has more than READ bytes.

    Raises as `load` does for what it reads.
    """
    found = _parted(source, seed, test_fraction, labels, unreadable, READ)
    train, test = _stored(found, source, standardise)
    return {"vectors": (len(found.columns),)}, _known(found, standardise, train, test)


def kind(**settings: Any) -> str:
    """The kind of data that a table is of: strokes where every number is 0 or 1. settings: as `describe` takes them."""
    return "strokes" if describe(**settings)[1]["binary"] else KIND


def _parted(source: str, seed: int, test_fraction: float, labels: str, unreadable: str, most: int | None) -> Parted:
    """Checks the settings, reads the table, and draws the test split. most: bytes that are read; None for all."""
    check_test_fraction(test_fraction)
    check_unreadable(unreadable)
    path = Path(source).expanduser()
    try:
        table = reading.read(path, labels, most)
        return parted(table, seed, test_fraction, refuse=unreadable == "refuse")
    except FileNotFoundError:
        raise FileNotFoundError(f"'{source}': there is no such file") from None
    except ValueError as error:
        raise ValueError(f"'{source}': {error}") from None


def _stored(found: Parted, source: str, standardise: bool) -> tuple[ndarray, ndarray]:
    """The vectors of both splits."""
    shift, scale = (found.mean, found.deviation) if standardise and not found.binary else (0.0, 1.0)
    try:
        train, test = (
            numbers.stored(found.table.numbers, rows, found.columns, shift, scale) for rows in (found.train, found.test)
        )
    except ValueError as error:
        raise ValueError(f"'{source}': {error}") from None
    return train, test


def _split(found: Parted, vectors: ndarray, rows: ndarray) -> Split:
    labels = None if found.labels is None else torch.from_numpy(found.labels[rows])
    return Split({"vectors": torch.from_numpy(vectors)}, labels)


def _known(found: Parted, standardise: bool, train: ndarray, test: ndarray) -> dict[str, Any]:
    """Dataset.known of these vectors."""
    width = len(found.columns)
    known: dict[str, Any] = {"binary": found.binary}
    if found.binary or not standardise:
        known |= {"mean": found.mean.tolist(), "deviation": found.deviation.tolist()}
    else:
        known |= {"mean": [0.0] * width, "deviation": [1.0] * width}
        known |= {"original_mean": found.mean.tolist(), "original_deviation": found.deviation.tolist()}
    side = math.isqrt(width)
    if found.binary and side > 1 and side**2 == width:
        known["grid"] = [side, side]
    if not found.binary and width <= 2:
        known["extent"] = [
            _side(mean, deviation, min(a.min(), b.min()), max(a.max(), b.max()))
            for mean, deviation, a, b in zip(known["mean"], known["deviation"], train.T, test.T, strict=True)
        ]
    return known


def _side(mean: float, deviation: float, lowest: float, highest: float) -> list[float]:
    """The extent of one number."""
    low = min(mean - AROUND * deviation, float(lowest) - MARGIN * deviation)
    return [low, max(mean + AROUND * deviation, float(highest) + MARGIN * deviation)]


def _what(found: Parted, standardise: bool) -> str:
    """Such as "100 rows of 5 numbers, standardised; 3 classes"."""
    kind = "of 0 and 1" if found.binary else "standardised" if standardise else "as they are"
    of = f"; {len(found.classes)} classes" if found.classes else ""
    width = len(found.columns)
    return f"{len(found.train) + len(found.test):,} rows of {width:,} number{'' if width == 1 else 's'}, {kind}{of}"


def _scales(found: Parted, standardise: bool) -> tuple[str, ...]:
    """That numbers which stay as they are have deviations far from 1."""
    low, high = float(found.deviation.min()), float(found.deviation.max())
    if found.binary or standardise or (low >= USUAL[0] and high <= USUAL[1]):
        return ()
    return (
        f"the numbers stay as they are, with deviations from {low:.3g} to {high:.3g}; steps and noise of methods on "
        "energies are for about 1: leave `standardise` at true for them",
    )


def _notes(found: Parted) -> tuple[str, ...]:
    """The columns that are left out."""
    every = found.table.numbers.shape[1]
    kept = set(found.columns.tolist())
    dropped = [index for index in range(every) if index not in kept]
    if not dropped:
        return ()
    names = ", ".join(found.table.column(index) for index in dropped[:NAMED])
    more = f", and {len(dropped) - NAMED:,} more" if len(dropped) > NAMED else ""
    counted = "" if found.table.columns else f" ({COUNTED})"
    one = len(dropped) == 1
    return (
        f"{len(dropped):,} of {every:,} columns {'is' if one else 'are'} constant in the training split and left out: "
        f"{names}{more}{counted}",
    )
