"""Tables on disk, one row a sample, in a format that pandas, DuckDB and others read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.process.files import legible, whole_file


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns of one length, each a list or an array, as a parquet file."""
    import pyarrow
    from pyarrow import parquet

    with whole_file(path) as temporary:
        parquet.write_table(pyarrow.table(dict(columns)), temporary)


def read_table(path: Path) -> dict[str, list[Any]]:
    """The columns of a parquet file."""
    from pyarrow import parquet

    with legible(path):
        found: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    return found
