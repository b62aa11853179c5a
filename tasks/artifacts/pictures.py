"""Sheets of small pictures: samples of a data set, and what fell into a cluster."""

from __future__ import annotations

from pathlib import Path

import numpy
from PIL import Image

from ssl_models.protocols._common.drawing import coloured
from tasks.process.files import whole_file

WHITE = 255


def sheet(rows: list[numpy.ndarray], columns: int, gap: int = 1) -> numpy.ndarray:
    """Rows of pictures, each (n, C, H, W) uint8, as one (H', W', 3) picture; what a row lacks stays white."""
    _, _, height, width = rows[0].shape
    canvas = numpy.full((len(rows) * (height + gap) - gap, columns * (width + gap) - gap, 3), WHITE, dtype=numpy.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures[:columns]):
            top, left = row * (height + gap), column * (width + gap)
            canvas[top : top + height, left : left + width] = coloured(picture)
    return canvas


def sample_sheet(images: numpy.ndarray, labels: numpy.ndarray | None, classes: int, columns: int = 16) -> numpy.ndarray:
    """The first pictures of each class, a row a class (20 at most); without labels, eight rows of pictures."""
    if labels is None:
        rows = [images[start : start + columns] for start in range(0, min(len(images), 8 * columns), columns)]
    else:
        rows = [images[numpy.flatnonzero(labels == label)[:columns]] for label in range(min(classes, 20))]
    return sheet(rows, columns)


def cluster_grid(
    images: numpy.ndarray, assignments: numpy.ndarray, distances: numpy.ndarray, rows: int = 12, columns: int = 16
) -> numpy.ndarray:
    """One row a cluster, from the largest to the smallest at even steps; in it, the pictures nearest its centre."""
    sizes = numpy.bincount(assignments)
    order = numpy.argsort(-sizes, kind="stable")
    chosen = order[numpy.linspace(0, len(order) - 1, min(rows, len(order))).round().astype(int)]
    members = []
    for cluster in chosen:
        inside = numpy.flatnonzero(assignments == cluster)
        nearest = inside[numpy.argsort(distances[inside], kind="stable")[:columns]]
        members.append(images[nearest])
    return sheet(members, columns)


def save_png(path: Path, picture: numpy.ndarray) -> None:
    """(H, W, 3) uint8 -> a PNG file."""
    with whole_file(path) as temporary:
        Image.fromarray(picture).save(temporary, format="png")
