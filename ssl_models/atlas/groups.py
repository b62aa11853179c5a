"""Groups of samples: k-means of their directions, and how close the samples of each group lie to its centre.

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples, D features, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from ssl_models.clustering import cluster
from ssl_models.directions import ROWS, Directions
from ssl_models.errors import Collapsed


@dataclass(frozen=True)
class Groups:
    """assignments: (N,) int32 in 0..K-1. distances: (N,) float32, cosine distance of each sample to its centre.

    tightness: (K,) float32, the mean cosine of a group's samples with its centre, 1 where they are all alike. Group 0
    is the largest.
    """

    assignments: ndarray
    distances: ndarray
    tightness: ndarray


def clusters(features: ndarray, count: int, *, seed: int, threads: int = 0) -> Groups:
    """K-means (ssl_models/clustering.py) of features (N, D), N >= 1, into at most `count` groups.

    There are fewer where fewer samples are distinct; features that are all alike are one group. The same seed and
    number of threads give the same groups. Raises ValueError for a count below 2, and features that are not finite.
    """
    if count < 2:
        raise ValueError(f"count = {count} must be at least 2")
    if len(features) == 1:
        return _one(1)
    try:
        found = cluster(features, clusters=min(count, len(features)), seed=seed, threads=threads)
    except Collapsed:
        return _one(len(features))
    order = np.argsort(-found.sizes, kind="stable")
    assignments = np.argsort(order)[found.assignments]
    centres = found.centroids[order]
    centres = centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    cosines = np.empty(len(features), np.float32)
    for begin, block in Directions(features, "what was clustered has").blocks(ROWS):
        end = begin + len(block)
        cosines[begin:end] = (block * centres[assignments[begin:end]]).sum(1)
    tightness = np.bincount(assignments, weights=cosines) / np.bincount(assignments)
    return Groups(assignments.astype(np.int32), np.clip(1 - cosines, 0, 2), tightness.astype(np.float32))


def _one(samples: int) -> Groups:
    return Groups(np.zeros(samples, np.int32), np.zeros(samples, np.float32), np.ones(1, np.float32))
