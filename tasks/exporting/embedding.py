"""Vectors to take away: a parquet file with a row for each picture, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_models.atlas import groups, layout, neighbours
from ssl_models.directions import Directions
from ssl_models.previews import drawn_part, preview
from ssl_models.rows import Samples, open_rows
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import Features
from tasks.artifacts.maps import SPLITS, own_columns
from tasks.artifacts.tables import read_table, write_rows
from tasks.exporting.new_pictures import ORIGIN, PICTURES, VECTORS
from tasks.exporting.options import Options
from tasks.project.project import Project

BLOCK = 4096
"""Rows that are written at once."""
COLUMNS = ("split", "file", "group", "label")
"""What is told of the data set's own samples, where it is known."""
MANY = 100_000
"""Rows above which x and y are left out unless they are asked for: t-SNE takes minutes for each hundred thousand."""
LONG = 20_000
"""Rows from which on what takes long is said before it starts."""


@dataclass(frozen=True)
class Table:
    """What is written: vectors (N, D), columns of N values, and the samples that may be drawn, by blocks of rows."""

    vectors: np.ndarray
    columns: Mapping[str, Any]
    samples: list[Mapping[str, Samples]]
    known: Mapping[str, Any]


def write(project: Project, run: str, file: str, room: str, options: dict[str, Any]) -> list[int]:
    """Writes the table of a run's own data, or of the new pictures in `room` where it is given: its rows, and D.

    options: those of `Options`. Columns: file, where it is known; split, label and group, of own data; vector, D
    float32; cluster, of a k-means of the run's training vectors, and distance, 1 - cosine to its centre; x, y: the
    t-SNE of these rows (see `MANY`); neighbors {"ids", "distances"}: the rows of the nearest others, and 1 - cosine to
    them; image, a small PNG.
    """
    asked = Options(**options)
    own = Features(project.places.features(run))
    table = _of_new(Path(room)) if room else _of_own(project, own, asked.layer)
    seed, threads = project.parameters["seed"], project.parameters["machine"]["threads"]
    vectors = Directions(table.vectors, f"layer '{asked.layer}' has")
    columns: dict[str, Any] = dict(table.columns)
    centres = groups.centres(own.read("train", asked.layer), asked.clusters, seed=seed, threads=threads)
    found = groups.among(vectors, centres)
    columns |= {"cluster": found.assignments, "distance": found.distances}
    placed = _placed(len(vectors), asked.coordinates)
    rows, distances = neighbours.nearest(table.vectors, asked.neighbours)
    if placed:
        places = layout.coordinates(table.vectors, seed=seed, threads=threads)
        columns |= {"x": places[:, 0], "y": places[:, 1]}
    images = _images(table) if asked.pictures and drawn_part(table.samples[0]) else None
    write_rows(Path(file), _blocks(table.vectors, columns, rows, distances, images))
    return [*table.vectors.shape]


def _placed(rows: int, asked: bool | None) -> bool:
    """Whether x and y are computed; says what takes long, and what is left out."""
    placed = rows <= MANY if asked is None else asked
    if rows >= LONG:
        what = "the exact neighbours and the coordinates" if placed else "the exact neighbours"
        print(f"Searching {what} of {rows:,} rows; this may take minutes.", flush=True)
    if asked is None and not placed:
        print(f"x and y are left out for more than {MANY:,} rows; --coordinates writes them.", flush=True)
    return placed


def _of_own(project: Project, features: Features, layer: str) -> Table:
    """The training samples, then the test samples."""
    data = Stored(project.places.dataset)
    known = own_columns(data, {split: np.arange(data.description[split]) for split in SPLITS})
    columns = {name: known[name] for name in COLUMNS if name in known}
    vectors = np.concatenate([features.read(split, layer) for split in SPLITS])
    return Table(vectors, columns, [data.samples(split) for split in SPLITS], data.known)


def _of_new(room: Path) -> Table:
    vectors, stored = np.load(room / VECTORS, mmap_mode="r"), open_rows(room / PICTURES)
    return Table(vectors, read_table(room / ORIGIN), [{"images": stored}], {})


def _blocks(
    vectors: np.ndarray,
    columns: Mapping[str, Any],
    rows: np.ndarray,
    distances: np.ndarray,
    images: Iterator[bytes] | None,
) -> Iterator[dict[str, Any]]:
    import pyarrow

    typed = {name: pyarrow.array(values) for name, values in columns.items()}  # else a block without labels has none
    for begin in range(0, len(vectors), BLOCK):
        part = slice(begin, begin + BLOCK)
        found = {name: values[part] for name, values in typed.items()}
        block = np.asarray(vectors[part], np.float32)
        found["vector"] = pyarrow.FixedSizeListArray.from_arrays(block.ravel(), block.shape[1])
        found["neighbors"] = pyarrow.StructArray.from_arrays(
            [_lists(rows[part].astype(np.int32)), _lists(distances[part].astype(np.float32))], ["ids", "distances"]
        )
        if images is not None:
            found["image"] = [{"bytes": next(images)} for _ in range(len(block))]
        yield found


def _lists(values: np.ndarray) -> Any:
    """(B, k) as an array of B lists."""
    import pyarrow

    ends = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pyarrow.ListArray.from_arrays(ends, values.ravel())


def _images(table: Table) -> Iterator[bytes]:
    """A small PNG of each sample."""
    from io import BytesIO

    from PIL import Image

    for samples in table.samples:
        for row in range(len(next(iter(samples.values())))):
            buffer = BytesIO()
            Image.fromarray(preview(samples, row, table.known)).save(buffer, "png")
            yield buffer.getvalue()
