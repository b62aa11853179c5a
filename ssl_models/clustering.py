"""K-means over features, the pseudo-labels of ClusterFit (Yan et al. 2020, arXiv:1912.03330, section 3.2).

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples, D features (components after a PCA), K clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy import ndarray

from ssl_models.directions import Directions
from ssl_models.errors import Collapsed
from ssl_models.two_level_clustering import assign, train, train_two_levels


@dataclass(frozen=True)
class Clustering:
    """assignments: (N,) int64 in 0..K-1, none of them empty. centroids: (K, D) float32. sizes: (K,) int64.

    inertia: the sum of squared distances of the normalised (and projected) samples to their centroids.
    asked: how many clusters were asked for; K is smaller where some came out empty.
    distinct: how many of the samples differ from each other. distances: (N,) squared, of each to its centroid.
    """

    assignments: ndarray
    centroids: ndarray
    sizes: ndarray
    inertia: float
    asked: int
    distinct: int
    distances: ndarray

    @property
    def clusters(self) -> int:
        return len(self.sizes)

    @property
    def empty(self) -> int:
        return self.asked - self.clusters

    @property
    def balance(self) -> float:
        """The entropy of the sizes over its maximum log K: 1 where all are equal, 0 where there is one cluster."""
        return min(1.0, _entropy(self.sizes) / float(np.log(self.clusters))) if self.clusters > 1 else 0.0

    def summary(self) -> dict[str, int | float]:
        """The numbers worth recording, plain enough for JSON."""
        return {
            "asked": self.asked,
            "clusters": self.clusters,
            "empty": self.empty,
            "samples": len(self.assignments),
            "distinct": self.distinct,
            "inertia": self.inertia,
            "balance": self.balance,
            "smallest": int(self.sizes.min()),
            "median": float(np.median(self.sizes)),
            "largest": int(self.sizes.max()),
        }


def cluster(
    features: ndarray,
    *,
    clusters: int,
    iterations: int = 50,
    seed: int,
    components: int = 0,
    redo: int = 1,
    levels: int = 1,
    threads: int = 0,
) -> Clustering:
    """K-means of the directions of features (N, D), which may be a memory map of any float type.

    Each sample is scaled to unit length; with `components` above 0 it is projected onto so many principal components
    and scaled again. iterations: the paper's 50. redo: the best of so many starts. threads: 0 leaves faiss its own
    number; the result is the same for the same seed and number of threads. levels: 1 is flat k-means; with 2 about
    sqrt(clusters) coarse clusters are each split by a k-means of its own, and a few iterations over all centroids
    follow, which takes a fraction of the time where there are thousands of clusters, for about the same inertia (some
    per cent more where a cluster has but a few samples).
    Where fewer than `clusters` samples are distinct, or some clusters end empty, there are fewer clusters than asked
    for; `Clustering.empty` says how many.
    Raises Collapsed for features that are all alike, ValueError for settings out of range and features that are not
    finite.
    """
    if features.ndim != 2:
        raise ValueError(f"features of shape {features.shape} must be (samples, features)")
    refuse_settings(features.shape, clusters, iterations, components, redo, threads, levels)
    with _threads(threads):
        points = _directions(features)
        names = np.fromiter((hash(row.tobytes()) for row in points), np.int64, len(points))
        representatives = list({name: index for index, name in enumerate(names.tolist())}.values())
        if len(representatives) < 2:
            raise Collapsed(
                f"all {len(points)} samples have the same features, so there is nothing to cluster: the encoder that "
                "made them has collapsed"
            )
        if components:
            points = _projected(points, components)
        if len(representatives) > clusters and levels == 2:
            centroids = train_two_levels(points, names, clusters, iterations, seed, redo)
        elif len(representatives) > clusters:
            centroids = train(points, clusters, iterations, seed, redo)
        else:  # the optimum, which k-means would miss: each distinct sample is a cluster
            centroids = points[sorted(representatives)]
        distances, nearest = assign(points, centroids)  # after the last iteration moved them
    used, assignments, sizes = np.unique(nearest, return_inverse=True, return_counts=True)
    return Clustering(
        assignments.astype(np.int64),
        centroids[used],
        sizes.astype(np.int64),
        float(distances.sum(dtype=np.float64)),
        clusters,
        len(representatives),
        distances,
    )


def normalised_mutual_information(first: ndarray, second: ndarray) -> float:
    """Of two labellings (N,): 2 I / (H + H), 1 where they are the same up to names, 0 where they are independent.

    Two labellings that are both of one class agree: 1, as scikit-learn has it.
    """
    if first.shape != second.shape or first.ndim != 1 or len(first) == 0:
        raise ValueError(f"labellings of shapes {first.shape} and {second.shape} must be two vectors of one length")
    rows, columns = (np.unique(labels, return_inverse=True)[1] for labels in (first, second))
    joint = np.unique(rows * (int(columns.max()) + 1) + columns, return_counts=True)[1]
    entropies = [_entropy(np.bincount(labels)) for labels in (rows, columns)]
    if sum(entropies) == 0:
        return 1.0
    information = sum(entropies) - _entropy(joint)
    return float(np.clip(2 * information / sum(entropies), 0, 1))


def _entropy(counts: ndarray) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _directions(features: ndarray) -> ndarray:
    """(N, D) float32 of unit length; a zero vector stays zero."""
    return Directions(features, "what is to be clustered has").all()


def _projected(points: ndarray, components: int) -> ndarray:
    """(N, D) -> (N, components), the principal components, scaled to unit length again."""
    import faiss

    matrix = faiss.PCAMatrix(points.shape[1], components)
    matrix.max_points_per_d = max(matrix.max_points_per_d, ceil(len(points) / points.shape[1]))
    matrix.train(points)
    return _directions(matrix.apply(points))


@contextmanager
def _threads(threads: int) -> Iterator[None]:
    """faiss on so many threads (0: its own number), and as before afterwards."""
    import faiss

    before = faiss.omp_get_max_threads()
    if threads:
        faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def soft_assignments(features: ndarray, centroids: ndarray, *, sharpness: float = 20.0) -> ndarray:
    """(N, K) float32 logits of a softened clustering: sharpness times the cosine of each sample with each centroid.

    Their softmax is a mixture's posterior with directions for data and equal shares; a larger sharpness comes nearer to
    the hard assignment. features: (N, D) as for `cluster`, without a projection.
    """
    if not sharpness > 0:
        raise ValueError(f"sharpness is {sharpness}; it must be greater than 0")
    points = _directions(features)
    directions = centroids / np.maximum(np.linalg.norm(centroids, axis=1, keepdims=True), 1e-12)
    logits: ndarray = sharpness * (points @ directions.T)
    return logits.astype(np.float32)


def refuse_settings(
    shape: tuple[int, ...], clusters: int, iterations: int, components: int, redo: int, threads: int, levels: int = 1
) -> None:
    samples, size = shape
    if clusters < 2:
        raise ValueError(f"clusters = {clusters} must be at least 2 (there are {samples} samples)")
    if clusters > samples:
        raise ValueError(f"clusters = {clusters} is more than the {samples} samples; choose at most {samples}")
    if iterations < 1 or redo < 1:
        raise ValueError(f"iterations = {iterations} and redo = {redo} must be at least 1")
    if levels not in (1, 2):
        raise ValueError(f"levels = {levels} must be 1 (flat) or 2 (coarse clusters, each split by its own k-means)")
    if levels == 2 and clusters < 4:
        raise ValueError(f"levels = 2 needs clusters of at least 4, not {clusters}; leave levels at 1")
    if threads < 0:
        raise ValueError(f"threads = {threads} must be at least 0 (0: as many as faiss takes by itself)")
    if not 0 <= components <= min(samples, size):
        raise ValueError(
            f"components = {components} must lie between 0 (no projection) and {min(samples, size)}: there are "
            f"{samples} samples of {size} features"
        )
