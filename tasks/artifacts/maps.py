"""A map on disk: maps.json, a table of the samples, one of each run, and sheets of thumbnails. Knows their names.

maps.json          which runs, how they were chosen, and how thumbnails lie on their sheets
samples.parquet    a row a sample: split, row, and what is known of it
run-<run>.parquet  the same rows: x, y, cluster, distance, neighbours, neighbour_distances, duplicate, outlier
sheet-000.webp     thumbnails of the samples in their order
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.errors import NeedsTruth
from tasks.artifacts.dataset import Stored
from tasks.artifacts.tables import write_table
from tasks.process.files import whole_file, write_json

SPLITS = ("train", "test")
OWN = ("split", "row", "file", "label", "group")
"""Columns that every table of samples may have; what else is known of the samples has a column of its own name."""


@dataclass(frozen=True)
class Maps:
    """The maps in a folder."""

    folder: Path

    def clear(self) -> None:
        """Removes earlier maps: those of runs that have none now would stay."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def write(self, facts: Mapping[str, Any]) -> None:
        write_json(self.folder / "maps.json", facts)

    def write_samples(self, columns: Mapping[str, Any]) -> None:
        write_table(self.folder / "samples.parquet", columns)

    def take(self, paths: Iterable[Path]) -> None:
        """Copies of these files, under their names."""
        for path in paths:
            with whole_file(self.folder / path.name) as temporary:
                shutil.copyfile(path, temporary)


def run_file(run: str) -> str:
    """The name of a run's table; no run's can be that of the samples."""
    return f"run-{run}.parquet"


def sheet_name(number: int) -> str:
    return f"sheet-{number:03d}.webp"


def draw(counts: Mapping[str, int], samples: int, seed: int) -> dict[str, ndarray]:
    """Split -> its rows that are on the map, ascending: all, or `samples` in all, the same share of each split."""
    total = sum(counts.values())
    if total <= samples:
        return {split: np.arange(count) for split, count in counts.items()}
    generator = np.random.default_rng(seed)
    test = min(counts["test"], max(min(1, counts["test"]), round(samples * counts["test"] / total)))
    share = {"train": samples - test, "test": test}
    return {split: np.sort(generator.choice(counts[split], share[split], replace=False)) for split in SPLITS}


@dataclass(frozen=True)
class Known:
    """columns: name -> a value for each sample. angles: names of those columns that are degrees of an angle."""

    columns: dict[str, Any]
    angles: list[str]


def known_of(data: Stored, rows: Mapping[str, ndarray]) -> Known:
    """What is known of the drawn samples, a column each: the first split's samples, then the other's."""
    found = own_columns(data, rows)
    for name, classes in data.description.get("label_sets", {}).items():
        ids = [np.asarray(data.array(split, f"labels.{name}"))[rows[split]] for split in SPLITS]
        found[_free(name, found, "labels")] = _named(ids, classes)
    factors, angles = _factors(data, rows, found)
    return Known(found | factors, angles)


def own_columns(data: Stored, rows: Mapping[str, ndarray]) -> dict[str, Any]:
    """Those of OWN that are known; None stands for the label of a sample without one."""
    found: dict[str, Any] = {
        "split": [split for split in SPLITS for _ in rows[split]],
        "row": np.concatenate([rows[split] for split in SPLITS]).astype(np.int32),
    }
    origin = {split: data.origin(split) for split in SPLITS}
    for name in ("file", "group"):
        if all(name in origin[split] for split in SPLITS):
            found[name] = [origin[split][name][row] for split in SPLITS for row in rows[split]]
    if all(data.labels_or_none(split) is not None for split in SPLITS):
        found["label"] = _named([data.labels(split)[rows[split]] for split in SPLITS], data.description["classes"])
    return found


def _named(ids: list[ndarray], names: list[str]) -> list[str | None]:
    """Ids of classes -> their names; None for a sample without a label."""
    numbers = np.concatenate(ids).tolist()
    return [None if one < 0 else names[one] if one < len(names) else str(one) for one in numbers]


def _factors(
    data: Stored, rows: Mapping[str, ndarray], there: Mapping[str, Any]
) -> tuple[dict[str, ndarray], list[str]]:
    """A column for each factor of one number, one in degrees for an angle, and one for each number of any other.

    And the names of the angles: factors (N, 2) hold a cosine and a sine.
    """
    try:
        known = {split: data.factors(split) for split in SPLITS}
    except NeedsTruth:
        return {}, []
    found: dict[str, ndarray] = {}
    angles = []
    for name in known["train"]:
        values = np.concatenate([known[split][name][rows[split]] for split in SPLITS]).astype(np.float32)
        values = values.reshape(len(values), -1)
        is_angle = values.shape[1] == 2
        if is_angle:
            values = np.degrees(np.arctan2(values[:, 1:], values[:, :1])) % 360
        for place in range(values.shape[1]):
            own = name if values.shape[1] == 1 else f"{name}_{place}"
            column = _free(own, {**there, **found}, "factor")
            found[column] = values[:, place].astype(np.float32)
            angles += [column] * is_angle
    return found, angles


def _free(name: str, taken: Mapping[str, Any], what: str) -> str:
    """The name of a column that is not taken."""
    return f"{name}_{what}" if name in taken or name in OWN else name
