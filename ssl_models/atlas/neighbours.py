"""The nearest samples of each sample, by the cosine of their features.

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples, M queries, D features, k neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from ssl_models import nearest as blockwise
from ssl_models.directions import Directions

NAME = "what neighbours are looked for in has"


def nearest(features: ndarray, k: int, *, queries: ndarray | None = None) -> tuple[ndarray, ndarray]:
    """(N, D) of any float type, perhaps memory-mapped -> rows (N, k) int32 and cosine distances (N, k) float32.

    Nearest first. The distance is 1 - cosine: 0 for the same direction, 2 for the opposite one, 1 to a zero vector.
    A sample is not its own neighbour, so k is at most N - 1. queries: (M, D), whose neighbours among the features are
    found instead, (M, k), k at most N. The search is exact.
    Raises ValueError for k below 1, and features that are not finite or of another shape.
    """
    if features.ndim != 2 or (queries is not None and queries.shape[1:] != features.shape[1:]):
        asked = "" if queries is None else f", queries {queries.shape}"
        raise ValueError(f"features of shape {features.shape}{asked} must be (samples, features)")
    if k < 1:
        raise ValueError(f"k = {k} must be at least 1")
    own = queries is None
    gallery = Directions(features, NAME)
    asked_for = gallery if queries is None else Directions(queries, NAME)
    count = min(k, len(features) - own)
    rows, distances = np.empty((len(asked_for), count), np.int32), np.empty((len(asked_for), count), np.float32)
    if not count:
        return rows, distances
    for begin, cosines, found in blockwise.nearest(gallery, asked_for, count + own):
        end = begin + len(found)
        if own:
            found, cosines = _without(found, cosines, np.arange(begin, end))
        rows[begin:end], distances[begin:end] = found, np.clip(1 - cosines, 0, 2)
    return rows, distances


def _without(rows: ndarray, cosines: ndarray, own: ndarray) -> tuple[ndarray, ndarray]:
    """(B, k + 1) -> (B, k): without each sample itself, or the last where others at its place left no room for it."""
    leaves = rows == own[:, None]
    leaves[~leaves.any(1), -1] = True
    kept = ~leaves
    return rows[kept].reshape(len(rows), -1), cosines[kept].reshape(len(rows), -1)
