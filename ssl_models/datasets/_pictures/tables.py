"""Tables of a user's own about pictures: a CSV file with a column `file` and others."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common import files

FILE = "file"
NAME = re.compile(r"\w[\w -]{0,99}")
"""A column: it becomes the name of a set of labels, and of files."""


@dataclass(frozen=True)
class Table:
    """name: of the file. columns: but for `file`. rows: a picture's name -> its values, in the order of columns."""

    name: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[str, ...]]

    def column(self, name: str) -> dict[str, str]:
        """A picture's name -> its value."""
        at = self.columns.index(name)
        return {file: values[at] for file, values in self.rows.items()}


def is_table(value: str) -> bool:
    """Whether the value of a setting names such a file."""
    return value.lower().endswith(".csv")


def read(path: Path, pictures: Mapping[str, str], source: str, setting: str) -> Table:
    """A table about the pictures of `source`. pictures: what a row may call one of them -> its name.

    Raises FileNotFoundError where there is no file. Raises ValueError, with the file, the line and what to do, for one
    that is no CSV in UTF-8, without the column `file` or any other, with two columns of one name, with a row of another
    length, with two rows for one picture, without a row, and for one that names what is no picture of the source.
    """
    where = f"{setting} = '{path}'"
    lines = _lines(path, where)
    header = [name.strip() for name in lines[0][1]]
    _check_header(header, where)
    at = header.index(FILE)
    rows: dict[str, tuple[str, ...]] = {}
    for number, values in lines[1:]:
        if len(values) != len(header):
            raise ValueError(f"{where}, line {number}: it has {len(values)} values, and the header {len(header)}")
        name = PurePosixPath(values[at].strip().replace("\\", "/")).as_posix()
        name = pictures.get(name, name)
        if name in rows:
            raise ValueError(f"{where}, line {number}: '{files.printable(name)}' has a row already; keep one")
        rows[name] = tuple(value.strip() for index, value in enumerate(values) if index != at)
    if not rows:
        raise ValueError(f"{where}: it has a header and no row; write one for each picture")
    _check_names(rows, pictures, source, where)
    return Table(path.name, tuple(name for name in header if name != FILE), rows)


def _lines(path: Path, where: str) -> list[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its line; the header comes first."""
    try:
        text = files.read(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"{where}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: it is not UTF-8 (byte {error.start}); save it as CSV in UTF-8") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{where}: it cannot be read: {error}") from None
    found = csv.reader(text.splitlines(keepends=True), strict=True)
    try:
        lines = [(found.line_num, row) for row in found if any(value.strip() for value in row)]
    except csv.Error as error:
        raise ValueError(f"{where}, line {found.line_num}: {error}") from None
    if not lines:
        raise ValueError(f"{where}: it is empty; write a header such as file,label and a row for each picture")
    return lines


def _check_header(header: list[str], where: str) -> None:
    shown = files.printable(", ".join(header))
    if FILE not in header:
        raise ValueError(
            f"{where}: no column is called `{FILE}`; the header is: {shown}. Name the columns in the first line, with "
            "commas between them"
        )
    if twice := [name for name in header if name and header.count(name) > 1]:
        raise ValueError(f"{where}: two columns are called '{files.printable(twice[0])}'; rename one")
    if odd := [name for name in header if not NAME.fullmatch(name)]:
        what = f"'{files.printable(odd[0])}' is the name of a column" if odd[0] else "a column has no name"
        raise ValueError(f"{where}: {what}; use letters, digits, spaces, - and _, at most 100")
    if len(header) == 1:
        raise ValueError(f"{where}: it has no column beside `{FILE}`")


def _check_names(rows: Collection[str], pictures: Mapping[str, str], source: str, where: str) -> None:
    missing = [files.printable(name) for name in rows if name not in pictures]
    if missing:
        every = len(missing) == len(rows)
        what = "none of its rows names a picture" if every else f"{len(missing):,} of its rows name no picture"
        example = files.printable(next(iter(pictures.values())))
        raise ValueError(
            f"{where}: {what} of '{source}', the first '{missing[0]}'; names count from that place, such as '{example}'"
        )
