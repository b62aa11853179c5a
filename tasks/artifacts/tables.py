"""Tables on disk, one row a sample, in a format that pandas, DuckDB and others read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tasks.process.files import legible, whole_file


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns of one length, each a list or an array, as a parquet file."""
    import pyarrow
    from pyarrow import parquet

    with whole_file(path) as temporary:
        parquet.write_table(pyarrow.table(dict(columns)), temporary)


def write_rows(path: Path, blocks: Iterable[Mapping[str, Any]]) -> None:
    """The same table, block after block, so that it may be larger than memory; there is at least one block."""
    import pyarrow
    from pyarrow import parquet

    with whole_file(path) as temporary, ExitStack() as stack:
        writer = None
        for block in blocks:
            table = pyarrow.table(dict(block))
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(temporary, table.schema))
            writer.write_table(table)


def read_table(path: Path) -> dict[str, list[Any]]:
    """The columns of a parquet file."""
    from pyarrow import parquet

    with legible(path):
        found: dict[str, list[Any]] = parquet.read_table(path).to_pydict()
    return found
