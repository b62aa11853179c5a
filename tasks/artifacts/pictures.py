"""Sheets of small pictures: samples of a data set, and what fell into a cluster."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image

from ssl_models.previews import columns, preview
from ssl_models.rows import Samples
from tasks.process.files import whole_file

WHITE = 255


def sheet(rows: list[list[numpy.ndarray]], columns: int, gap: int = 1) -> numpy.ndarray:
    """Rows of pictures of one size, each (H, W, 3) uint8, as one (H', W', 3); what a row lacks stays white."""
    height, width, _ = next(picture for row in rows for picture in row).shape
    canvas = numpy.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), WHITE, dtype=numpy.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures[:columns]):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = picture
    return canvas


def sample_rows(count: int, labels: numpy.ndarray | None, classes: int, columns: int) -> list[numpy.ndarray]:
    """The first samples of each class, a row a class (20 at most); without labels, eight rows of samples."""
    if labels is None:
        return [
            numpy.arange(start, min(count, start + columns)) for start in range(0, min(count, 8 * columns), columns)
        ]
    return [numpy.flatnonzero(labels == label)[:columns] for label in range(min(classes, 20))]


def drawn(samples: Mapping[str, Samples], rows: list[numpy.ndarray], known: Mapping[str, Any]) -> numpy.ndarray:
    """Samples, part -> (N, ...), laid out by rows of their numbers, of which as many are drawn as a page has room for.

    known: what the reader tells of the data.
    """
    across = columns(samples)
    return sheet([[preview(samples, int(row), known) for row in line[:across]] for line in rows], across)


def cluster_rows(
    assignments: numpy.ndarray, distances: numpy.ndarray, columns: int, rows: int = 12
) -> list[numpy.ndarray]:
    """One row a cluster, from the largest to the smallest at even steps; in it, the samples nearest its centre."""
    sizes = numpy.bincount(assignments)
    order = numpy.argsort(-sizes, kind="stable")
    chosen = order[numpy.linspace(0, len(order) - 1, min(rows, len(order))).round().astype(int)]
    members = []
    for cluster in chosen:
        inside = numpy.flatnonzero(assignments == cluster)
        members.append(inside[numpy.argsort(distances[inside], kind="stable")[:columns]])
    return members


def names_of(files: Sequence[str], rows: list[numpy.ndarray]) -> dict[str, list[list[str]]]:
    """{"files": the names of the samples in each row}; empty where no names are known."""
    return {"files": [[files[row] for row in line] for line in rows]} if files else {}


def save_all(folder: Path, pictures: Mapping[str, numpy.ndarray]) -> None:
    """name -> (H, W, 3) uint8 -> <folder>/<name>.png, in a folder that holds nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, picture in pictures.items():
        save_png(folder / f"{name}.png", picture)


def save_png(path: Path, picture: numpy.ndarray) -> None:
    """(H, W, 3) uint8 -> a PNG file."""
    with whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary, format="png")
