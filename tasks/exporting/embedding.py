"""Vectors to take away: a parquet file with a row for each picture, and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_models.atlas import layout, neighbours
from ssl_models.clustering import cluster
from ssl_models.directions import Directions
from ssl_models.errors import Collapsed
from ssl_models.previews import drawn_part, preview
from ssl_models.rows import Samples, open_rows
from ssl_models.two_level_clustering import assign
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import Features
from tasks.artifacts.tables import read_table, write_rows
from tasks.exporting.new_pictures import ORIGIN, PICTURES, VECTORS
from tasks.exporting.options import Options
from tasks.project.project import Project

BLOCK = 4096
"""Rows that are written at once."""
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Table:
    """What is written: vectors (N, D), columns of N values, and the samples that may be drawn, by blocks of rows."""

    vectors: np.ndarray
    columns: Mapping[str, list[Any]]
    samples: list[Mapping[str, Samples]]
    known: Mapping[str, Any]


def write(project: Project, run: str, file: str, room: str, options: dict[str, Any]) -> list[int]:
    """Writes the table of a run's own data, or of the new pictures in `room` where it is given: its rows, and D.

    options: those of `Options`. Columns: file, where it is known; split, label and group, of own data; vector, D
    float32; cluster, of a k-means of the run's training vectors, and distance, 1 - cosine to its centre; x, y: the
    t-SNE of these rows; neighbors {"ids", "distances"}: the rows of the nearest others, and 1 - cosine to them; image,
    a small PNG.
    """
    asked = Options(**options)
    own = Features(project.places.features(run))
    table = _of_new(Path(room)) if room else _of_own(project, own, asked.layer)
    seed, threads = project.parameters["seed"], project.parameters["machine"]["threads"]
    vectors = Directions(table.vectors, f"layer '{asked.layer}' has")
    columns: dict[str, Any] = dict(table.columns)
    columns |= _clustered(own.read("train", asked.layer), vectors, asked.clusters, seed, threads)
    rows, distances = neighbours.nearest(table.vectors, asked.neighbours)
    if asked.coordinates:
        places = layout.coordinates(table.vectors, seed=seed, threads=threads)
        columns |= {"x": places[:, 0], "y": places[:, 1]}
    images = _images(table) if asked.pictures and drawn_part(table.samples[0]) else None
    write_rows(Path(file), _blocks(table.vectors, columns, rows, distances, images))
    return [*table.vectors.shape]


def _of_own(project: Project, features: Features, layer: str) -> Table:
    """The training samples, then the test samples."""
    data = Stored(project.places.dataset)
    columns: dict[str, list[Any]] = {"split": [split for split in SPLITS for _ in range(data.description[split])]}
    for name in ("file", "group"):
        found = [data.origin(split).get(name) for split in SPLITS]
        if all(found):
            columns[name] = [value for values in found for value in values or ()]
    labels = [data.labels_or_none(split) for split in SPLITS]
    classes = data.description["classes"]
    if classes and all(found is not None for found in labels):
        columns["label"] = [classes[label] for found in labels for label in found]  # type: ignore[union-attr]
    vectors = np.concatenate([features.read(split, layer) for split in SPLITS])
    return Table(vectors, columns, [data.samples(split) for split in SPLITS], data.known)


def _of_new(room: Path) -> Table:
    vectors, stored = np.load(room / VECTORS, mmap_mode="r"), open_rows(room / PICTURES)
    return Table(vectors, read_table(room / ORIGIN), [{"images": stored}], {})


def _clustered(train: np.ndarray, vectors: Directions, count: int, seed: int, threads: int) -> dict[str, np.ndarray]:
    """cluster (N,) int32 and distance (N,) float32; one cluster where all training samples are alike."""
    try:
        centres = cluster(train, clusters=min(count, len(train)), seed=seed, threads=threads).centroids
    except Collapsed:
        centres = Directions(train[:1], "the first sample has").all()
    units = Directions(centres, "the centres have").all()
    found, distances = np.empty(len(vectors), np.int32), np.empty(len(vectors), np.float32)
    for begin, block in vectors.blocks(BLOCK):
        _, nearest = assign(block, centres)
        found[begin : begin + len(block)] = nearest
        distances[begin : begin + len(block)] = 1 - (block * units[nearest]).sum(1)
    return {"cluster": found, "distance": distances}


def _blocks(
    vectors: np.ndarray,
    columns: Mapping[str, Any],
    rows: np.ndarray,
    distances: np.ndarray,
    images: Iterator[bytes] | None,
) -> Iterator[dict[str, Any]]:
    import pyarrow

    for begin in range(0, len(vectors), BLOCK):
        part = slice(begin, begin + BLOCK)
        found = {name: values[part] for name, values in columns.items()}
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
