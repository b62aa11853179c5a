"""Pictures in the rows of parquet files: one, several, or a folder of them as Hugging Face lays out a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from ssl_models.datasets._common import files
from ssl_models.datasets._common.split import LeftOut
from ssl_models.datasets._pictures import label_sets, parquet_columns, shards
from ssl_models.datasets._pictures.found import Found, Picture
from ssl_models.datasets._pictures.parquet_rows import Row, Tables

SUFFIX = ".parquet"


@dataclass
class _Table:
    """One file, opened for what is not a picture. name: relative to the source."""

    path: Path
    name: str
    opened: Any
    image: parquet_columns.ImageColumn
    paths: list[str] | None = None
    labels: dict[str, parquet_columns.Labels] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return int(self.opened.metadata.num_rows)


def find(source: str | Path, *, column: str = "", labels: str = "auto") -> Found:
    """The pictures of a parquet file, of NAME-{00..07}.parquet, or of all *.parquet at any depth of a folder.

    They come in the order of names and rows.
    column: of the pictures: a struct with `bytes`, or binary; "": the only one that there is.
    labels: "auto": ClassLabel columns of a Hugging Face data set; else columns named label or like it; else texts of
    few distinct values. "none" reads no column of labels; the name of a column takes that one.
    A picture's name is its `path` where these are unique, else FILE/ROW. Files and folders named train, test or
    validation are splits (shards.roles); one split alone is none.
    Raises FileNotFoundError where there is no such file, the first of a pattern; ValueError for a folder without
    parquet files, a file that cannot be read, no or several columns of pictures, an unknown `column`, and no rows;
    ImportError without pyarrow.
    """
    paths, left_out = files_of(source)
    return _found(shards.stamped(paths), str(source), shards.root_of(source, paths), left_out, column, labels)


@lru_cache(maxsize=1)
def _found(
    stamps: shards.Stamps, source: str, root: Path, left_out: tuple[LeftOut, ...], column: str, labels: str
) -> Found:
    """The columns of names and labels are read once for as long as the files stay the same."""
    paths = [path for path, _, _ in stamps]
    tables = [_table(path, root, column) for path in paths]
    if not sum(table.rows for table in tables):
        raise ValueError(f"'{source}' has no rows")
    for table in tables:
        _read_others(table, labels)
    _agree(tables)
    roles, notes = shards.roles(
        {shards.split_of(table.name) for table in tables},
        {shards.split_of(table.name): True for table in tables if _labelled(table)},
    )
    used = [table for table in tables if shards.split_of(table.name) in roles]
    what = f"{len(paths):,} parquet files" if len(paths) > 1 else "a parquet file"
    told = f"{what}, pictures in the column '{tables[0].image.name}'"
    pictures, others = label_sets.complete(list(_pictures(used, roles)))
    return Found(pictures, told, left_out, notes=(*notes, *others))


def files_of(source: str | Path) -> tuple[list[Path], tuple[LeftOut, ...]]:
    """The parquet files that `find` reads, and what else lies between them in a folder."""
    paths = shards.expanded(source)
    left_out: tuple[LeftOut, ...] = ()
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths, left_out = shards.in_folder(folder, SUFFIX)
        if not paths:
            raise ValueError(f"the folder '{folder}' holds no *{SUFFIX}")
    for path in paths:
        shards.check_file(path)
    return paths, left_out


def _table(path: Path, root: Path, column: str) -> _Table:
    opened = parquet_columns.opened(path)
    with parquet_columns.told(path):
        image = parquet_columns.image_column(opened, column, str(path))
    return _Table(path, files.printable(path.relative_to(root).as_posix()), opened, image)


def _read_others(table: _Table, labels: str) -> None:
    """The names and labels of all rows; then the file is closed."""
    with parquet_columns.told(table.path):
        table.paths = parquet_columns.paths(table.opened, table.image)
        table.labels = parquet_columns.labels(table.opened, labels)
        table.opened.close()


def _labelled(table: _Table) -> bool:
    return any(value is not None for labels in table.labels.values() for value in labels.values)


def _agree(tables: list[_Table]) -> None:
    """Leaves each table the labels that all tables have and that are any. Raises for columns that differ."""
    first = tables[0]
    for table in tables[1:]:
        if table.image.name != first.image.name:
            raise ValueError(
                f"'{first.path}' has its pictures in the column '{first.image.name}', and '{table.path}' in "
                f"'{table.image.name}'; they are of two data sets: name one file or its folder"
            )
    rows = sum(table.rows for table in tables)
    shared = [name for name in first.labels if all(name in table.labels for table in tables)]
    kept = [name for name in shared if parquet_columns.are_labels([table.labels[name] for table in tables], rows)]
    for table in tables:
        table.labels = {name: table.labels[name] for name in kept}


def _pictures(tables: list[_Table], roles: Mapping[str, str]) -> Iterator[Picture]:
    every = [name for table in tables for name in table.paths or [""]]
    by_path = all(every) and len(set(every)) == len(every)
    source = Tables([(table.path, table.image.leaf) for table in tables])
    for number, table in enumerate(tables):
        role = roles[shards.split_of(table.name)]
        names = table.paths if by_path and table.paths else [f"{table.name}/{row}" for row in range(table.rows)]
        columns = [(name, labels.values) for name, labels in table.labels.items()]
        for row, own in enumerate(names):
            classes = {name: value for name, values in columns if (value := values[row]) is not None}
            yield Picture(own, Row(source, number, row), classes, role)
