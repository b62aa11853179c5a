"""A picture of queries with their nearest neighbours beside them, and the names of their files.

numpy and PIL only: protocols that use faiss must not bring torch into their process.
Legend: Q queries, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy import ndarray
from PIL import Image

from ssl_models.protocols._common.score import Representation

QUERIES, SHOWN, WIDEST = 8, 10, 1250
"""Rows of the picture, and neighbours in a row: fewer where samples that are not scaled, such as texts, would make it
wider than so many pixels."""
SIDE, FRAME, GAP = 96, 6, 4
"""In pixels: about the longer side of a picture, its frame, and the gap between two frames."""
RIGHT, WRONG, PLAIN = (26, 152, 80), (215, 48, 39), (255, 255, 255)


def drawn(labels: ndarray, seed: int) -> ndarray:
    """At most eight samples, sorted by class: one of each of eight classes, or several if there are fewer classes."""
    draws = np.random.default_rng(seed)
    queues = [list(draws.permutation(np.flatnonzero(labels == k))) for k in draws.permutation(np.unique(labels))]
    chosen: list[int] = []
    while len(chosen) < min(QUERIES, len(labels)):
        for queue in queues:
            chosen += [queue.pop()] if queue and len(chosen) < QUERIES else []
    return np.array(sorted(chosen, key=lambda row: labels[row]))


def shown_beside(width: int) -> int:
    """How many neighbours stand beside a query, of pictures that are not scaled, each so many pixels wide."""
    return min(SHOWN, max(1, WIDEST // (width + 2 * FRAME + GAP) - 1))


def sheet(
    query: Callable[[int], ndarray],
    neighbour: Callable[[int], ndarray],
    queries: ndarray,
    rows: ndarray,
    right: ndarray | None,
    *,
    shown: int = SHOWN,
    scaled: bool = True,
) -> ndarray:
    """A row a query (Q,), its neighbours (Q, k) to its right, (H, W, 3) uint8; white where there are under `shown`.

    query, neighbour: row -> its picture, all of one size. right: (Q, k), which get a green frame and the others a red
    one, or None for no frames. scaled: whether pictures are made about SIDE large.
    """
    lines = []
    for place, row in enumerate(queries):
        colours = [PLAIN] * rows.shape[1] if right is None else [RIGHT if own else WRONG for own in right[place]]
        cells = [
            framed(neighbour(other), colour, scaled=scaled) for other, colour in zip(rows[place], colours, strict=True)
        ]
        lines.append(_beside([framed(query(row), PLAIN, scaled=scaled), *cells], shown))
    return np.concatenate(lines)


def files_of(representation: Representation, queries: ndarray, rows: ndarray) -> dict[str, dict[str, list[str]]]:
    """The names of the queries' files (Q,) and of their neighbours' (Q, k), nearest first, as a table."""
    gallery, asked = representation.files("train"), representation.files("test")
    if not gallery or not asked:
        return {}
    columns = {"query": [asked[row] for row in queries]}
    return {"neighbours": columns | {str(k + 1): [gallery[row] for row in rows[:, k]] for k in range(rows.shape[1])}}


def framed(pixels: ndarray, colour: tuple[int, int, int], *, scaled: bool) -> ndarray:
    """(H, W, 3) uint8 as (H', W', 3) in a frame; if `scaled`, enlarged by a whole number or made smaller."""
    height, width = pixels.shape[:2]
    longer = max(height, width)
    times = max(1, round(SIDE / longer))
    scale = (SIDE / longer if longer > SIDE * times else times) if scaled else 1
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    cell = np.asarray(Image.fromarray(pixels).resize(size, kind))
    bordered = np.full((size[1] + 2 * FRAME, size[0] + 2 * FRAME, 3), colour, np.uint8)
    bordered[FRAME:-FRAME, FRAME:-FRAME] = cell
    return np.pad(bordered, [(GAP // 2, GAP // 2), (GAP // 2, GAP // 2), (0, 0)], constant_values=255)


def _beside(cells: list[ndarray], shown: int) -> ndarray:
    """A row of the picture: the query, a wider gap, its neighbours; white where there are fewer than `shown`."""
    height, width, _ = cells[0].shape
    missing = [np.full((height, width, 3), 255, np.uint8)] * (shown + 1 - len(cells))
    gap = np.full((height, 2 * FRAME, 3), 255, np.uint8)
    return np.concatenate([cells[0], gap, *cells[1:], *missing], 1)
