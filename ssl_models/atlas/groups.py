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
from ssl_models.two_level_clustering import assign

NAME = "what was clustered has"


@dataclass(frozen=True)
class Groups:
    """assignments: (N,) int32 in 0..K-1. distances: (N,) float32, cosine distance of each sample to its centre.

    tightness: (K,) float32, the mean cosine of a group's samples with its centre, 1 where they are all alike.
    """

    assignments: ndarray
    distances: ndarray
    tightness: ndarray


def clusters(features: ndarray, count: int, *, seed: int, threads: int = 0) -> Groups:
    """K-means (ssl_models/clustering.py) of features (N, D), N >= 1, into at most `count` groups.

    Group 0 is the largest. There are fewer where fewer samples are distinct; features that are all alike are one group.
    The same seed and number of threads give the same groups. Raises ValueError for a count below 2, and features that
    are not finite.
    """
    if count < 2:
        raise ValueError(f"count = {count} must be at least 2")
    centroids = centres(features, count, seed=seed, threads=threads)
    if len(centroids) == 1:
        return Groups(np.zeros(len(features), np.int32), np.zeros(len(features), np.float32), np.ones(1, np.float32))
    found = among(Directions(features, NAME), centroids)
    sizes = np.bincount(found.assignments, minlength=len(found.tightness))
    kept = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    places = np.zeros(len(sizes), np.int32)
    places[kept] = np.arange(len(kept), dtype=np.int32)
    return Groups(places[found.assignments], found.distances, found.tightness[kept])


def centres(features: ndarray, count: int, *, seed: int, threads: int = 0) -> ndarray:
    """(K, D) float32: the centroids of at most `count` groups of features (N, D), N >= 1; one where all are alike."""
    one = Directions(features[:1], NAME).all()
    if len(features) == 1:
        return one
    try:
        return cluster(features, clusters=min(count, len(features)), seed=seed, threads=threads).centroids
    except Collapsed:
        return one


def among(samples: Directions, centroids: ndarray) -> Groups:
    """Samples (N, D), which may be others than those of the centroids (K, D), each in the group of the nearest one.

    Groups are numbered as the centroids; the tightness of one without samples is 0.
    """
    units = Directions(centroids, "the centres have").all()
    assignments, cosines = np.empty(len(samples), np.int32), np.empty(len(samples), np.float32)
    for begin, block in samples.blocks(ROWS):
        _, nearest = assign(block, centroids)
        assignments[begin : begin + len(block)] = nearest
        cosines[begin : begin + len(block)] = (block * units[nearest]).sum(1)
    sizes = np.bincount(assignments, minlength=len(units))
    tightness = np.bincount(assignments, weights=cosines, minlength=len(units)) / np.maximum(sizes, 1)
    return Groups(assignments, np.clip(1 - cosines, 0, 2), tightness.astype(np.float32))
