"""Tables in text (.csv): a line of names, and a line of numbers for each row, with commas, semicolons or tabs."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy import ndarray

from ssl_models.datasets._common import files
from ssl_models.datasets._vectors.table import Table, check_rows

DELIMITERS = (",", ";", "\t")
MISSING = ("", "na", "n/a", "nan", "null")
"""Cells without a number, in lower case."""
COMMA = re.compile(r"[+-]?\d*,\d+")
BLOCK = 4096
"""Rows that become numbers together."""
LONGEST = 2**22
"""Characters of the line of names."""


class _Lines:
    """The lines of a file, up to a number of characters. read: of how many it has given."""

    def __init__(self, stream: Iterable[str], most: int | None) -> None:
        self._stream, self._most, self.read = stream, most, 0
        self.stopped = False

    def __iter__(self) -> Iterator[str]:
        for line in self._stream:
            if self._most is not None and self.read > self._most:
                self.stopped = True
                return
            self.read += len(line)
            yield line


def of_csv(path: Path, labels: str, most: int | None) -> Table:
    """The numbers of all columns but the one that `labels` names, as float64; an empty cell is NaN.

    The delimiter is what parts the line of names. most: characters of which the rows are given; None for all.
    Raises ValueError, without the file's name, for a file that is no such table: not UTF-8, no names, a name twice, a
    row of another length, a cell that is no number, fewer than two rows, and a column of labels that is not there.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            delimiter = _delimiter(stream.readline(LONGEST))
            stream.seek(0)
            source = _Lines(stream, most)
            reader = csv.reader(source, delimiter=delimiter, strict=True)
            rows = ((reader.line_num, row) for row in reader if any(cell.strip() for cell in row))
            header = [name.strip() for name in next(rows, (0, []))[1]]
            _check_header(header, labels)
            found = _read(rows, header, labels, delimiter)
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8; save it as CSV in UTF-8") from None
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error}; it is no CSV, or is cut off") from None
    share = source.read / max(1, path.stat().st_size) if source.stopped else 1.0
    numbers, stated, places = found
    check_rows(len(numbers))
    columns = tuple(name for name in header if name != labels)
    return Table(numbers, stated if labels else None, columns, places, share)


def _read(
    rows: Iterator[tuple[int, list[str]]], header: list[str], labels: str, delimiter: str
) -> tuple[ndarray, ndarray, ndarray]:
    """Numbers (N, D), labels (N,) and lines (N,)."""
    at = header.index(labels) if labels else -1
    kept = [index for index in range(len(header)) if index != at]
    parts, stated, places = [np.zeros((0, len(kept)))], list[str](), list[int]()
    while block := list(islice(rows, BLOCK)):
        for line, row in block:
            if len(row) != len(header):
                raise ValueError(_of_length(line, len(row), len(header), delimiter))
        if labels:
            stated += [row[at] for _, row in block]
            cells = [[row[index] for index in kept] for _, row in block]
        else:
            cells = [row for _, row in block]
        places += [line for line, _ in block]
        try:
            parts.append(np.array(cells, np.float64))
        except ValueError:
            names = [header[index] for index in kept]
            lines = places[-len(block) :]
            parts.append(np.array([_numbers(row, names, line) for row, line in zip(cells, lines, strict=True)]))
    return np.concatenate(parts), np.array(stated, np.str_), np.array(places, np.int64)


def _numbers(row: list[str], names: list[str], line: int) -> list[float]:
    return [_number(cell.strip(), name, line) for cell, name in zip(row, names, strict=True)]


def _number(cell: str, name: str, line: int) -> float:
    if cell.lower() in MISSING:
        return math.nan
    try:
        return float(cell)
    except ValueError:
        pass
    way = "save it with decimal points" if COMMA.fullmatch(cell) else "`labels` may name a column of classes"
    raise ValueError(
        f"line {line}, column '{files.printable(name)}': '{files.printable(cell[:40])}' is no number; {way}"
    )


def _delimiter(line: str) -> str:
    """The one that makes most columns of the line of names; of equally many the first."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([line], delimiter=delimiter), [])))


def _check_header(header: list[str], labels: str) -> None:
    """Raises ValueError for names that cannot be told apart, or are none."""
    if not header:
        raise ValueError("it is empty; write a line of names, and a line of numbers for each row")
    if "" in header:
        raise ValueError(
            f"column {header.index('') + 1} of {len(header)} has no name; name it, or take it away where it is an index"
        )
    name, times = Counter(header).most_common(1)[0]
    if times > 1:
        raise ValueError(f"{times} columns are called '{files.printable(name)}'; rename them")
    if all(_is_number(name) for name in header) and not _is_counted(header):
        raise ValueError("its first line holds numbers; write a line with the names of the columns above it")
    if labels and labels not in header:
        shown = files.printable(", ".join(header[:20])) + (", ..." if len(header) > 20 else "")
        raise ValueError(f"labels = '{files.printable(labels)}': no column is called so; the columns are: {shown}")
    if header == [labels]:
        raise ValueError(f"it has no column beside '{files.printable(labels)}', that of the labels")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_counted(header: list[str]) -> bool:
    """Whether the names are 0, 1, 2 ... or 1, 2, 3 ..., as they are of columns that nobody named."""
    return any(header == [str(first + index) for index in range(len(header))] for first in (0, 1))


def _of_length(line: int, values: int, names: int, delimiter: str) -> str:
    more = delimiter == "," and values > names
    way = "where commas are decimal marks, save it with decimal points" if more else "the file may be cut off there"
    return f"line {line}: it has {values:,} value{'' if values == 1 else 's'}, and the line of names {names:,}; {way}"
