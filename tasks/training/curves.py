"""A training's journal as tables, for `dvc plots` and the report."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_models.collapse import MEASURED
from tasks.process.files import whole_file
from tasks.tracking.journal import Journal

RATE, MONITORING = "samples_per_second", "monitor_seconds"
"""What another run of the same would not repeat: no table holds them."""


def write_all(path: Path, journal: Journal) -> None:
    """One row an epoch; empty where an epoch lacks a value."""
    rows = [{name: value for name, value in row.items() if name not in (RATE, MONITORING)} for row in journal.rows()]
    names = ["epoch", "step", "loss", *sorted({name for row in rows for name in row} - {"step", "loss"})]
    _write(path, names, ({"epoch": epoch, **row} for epoch, row in enumerate(rows, start=1)))


def write_measured(folder: Path, journal: Journal) -> None:
    """A table for each of MEASURED, of the epochs that have it: DVC draws one column of a file, and all its rows."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = list(enumerate(journal.rows(), start=1))
    for name in MEASURED:
        found = [{"epoch": epoch, name: row[name]} for epoch, row in rows if name in row]
        if found:
            _write(folder / f"{name}.csv", ["epoch", name], found)


def _write(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
