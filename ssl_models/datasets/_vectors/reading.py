"""Reads a table, by the suffix of its file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ssl_models.datasets._common import files
from ssl_models.datasets._common.suffixes import VECTORS
from ssl_models.datasets._vectors import arrays, delimited
from ssl_models.datasets._vectors.table import Table


def read(path: Path, labels: str, most: int | None) -> Table:
    """A table of numbers. labels: the column or the array of labels, "" for what the file has. most: bytes; None: all.

    Raises FileNotFoundError where there is no file, and ValueError, without the file's name, for what is no such table.
    """
    suffix = path.suffix.lower()
    if suffix not in VECTORS:
        raise ValueError(f"a table of numbers ends in one of {', '.join(sorted(VECTORS))}")
    if not os.path.lexists(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if why := files.fault(path, most=None):
        raise ValueError(why)
    if suffix == ".csv":
        return delimited.of_csv(path, labels, most)
    return arrays.of_npz(path, labels) if suffix == ".npz" else arrays.of_npy(path, labels, most)
