"""Centroids by k-means, flat or in two levels: coarse clusters, each of them split by a k-means of its own.

numpy and faiss only: torch and faiss in one process crash on macOS (faiss #3401).
Legend: N samples, D features, K clusters, C coarse clusters, M candidates of a sample.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy import ndarray

COARSE_POINTS = 1024
"""The coarse k-means looks at so many samples a coarse cluster at most: it need only be roughly right."""
CANDIDATES = 128
"""M: among how many centroids, those nearest to its present one, a sample looks for a nearer one."""
ROUNDS = 8
"""How many Lloyd iterations over all K centroids follow the splits, at most."""
SETTLED = 0.001
"""They end earlier where a smaller share of the samples than this changes its cluster."""


def train(points: ndarray, clusters: int, iterations: int, seed: int, redo: int, *, most: int | None = None) -> ndarray:
    """(K, D) centroids by flat k-means, from all points or from `most` a centroid.

    Left alone, faiss takes 256 a centroid, and warns on stderr below 39.
    """
    import faiss

    kmeans = faiss.Kmeans(
        points.shape[1],
        clusters,
        niter=iterations,
        nredo=redo,
        seed=seed % 2**31,  # a C int
        min_points_per_centroid=1,
        max_points_per_centroid=most or ceil(len(points) / clusters),
    )
    kmeans.train(points)
    return np.asarray(kmeans.centroids)


def assign(points: ndarray, centroids: ndarray) -> tuple[ndarray, ndarray]:
    """Squared distances and ids (N,) of the nearest centroids."""
    distances, nearest = _neighbours(points, centroids, 1)
    return distances[:, 0], nearest[:, 0]


def train_two_levels(points: ndarray, names: ndarray, clusters: int, iterations: int, seed: int, redo: int) -> ndarray:
    """(K, D) centroids by k-means in two levels, from points (N, D), more than K of them distinct.

    names: (N,) integers, the same for equal samples and for no others. Each k-means takes `iterations` and `redo`.
    About sqrt(K) coarse clusters are split into K in proportion to their sizes. Then at most `ROUNDS` Lloyd iterations
    move samples across the coarse borders; in them a sample looks among the `CANDIDATES` centroids nearest to its own,
    so that N K distances are left to the final assignment. A centroid left without samples is put into a
    cluster of large inertia.
    """
    centroids, nearest = _split(points, names, clusters, iterations, seed, redo)
    for _ in range(min(iterations, ROUNDS)):
        before = nearest
        distances, nearest = _search(points, centroids, before)
        centroids = _means(points, centroids, distances, nearest)
        if (nearest != before).mean() < SETTLED:
            break
    return centroids


def shares(sizes: ndarray, limits: ndarray, clusters: int) -> ndarray:
    """(C,) int64 that sum to K: each coarse cluster's share, proportional to its size, by largest remainder.

    sizes: (C,) samples in each. limits: (C,) the most that each may take; they sum to K at least. What a limit cuts
    off goes to the others in proportion. Every coarse cluster with a sample takes at least one (K is at least C).
    """
    found = np.zeros(len(sizes), np.int64)
    free = np.asarray(sizes) > 0
    while True:
        left, total = clusters - found[~free].sum(), np.sum(sizes[free])
        full = free & (left * sizes > limits * total)
        if not full.any():
            break
        found[full], free = limits[full], free & ~full
    if total:
        found[free], remainders = np.divmod(left * sizes[free], total)
        largest = np.argsort(-remainders, kind="stable")[: clusters - found.sum()]
        found[np.flatnonzero(free)[largest]] += 1
    for none in np.flatnonzero((found == 0) & (sizes > 0)):
        found[found.argmax()] -= 1
        found[none] = 1
    return found


def _split(
    points: ndarray, names: ndarray, clusters: int, iterations: int, seed: int, redo: int
) -> tuple[ndarray, ndarray]:
    """(K, D) centroids of the coarse clusters' own k-means, and (N,) ids: of its coarse cluster's, the nearest."""
    coarse = round(sqrt(clusters))
    first, *seeds = (int(state) for state in np.random.SeedSequence(seed % 2**31).generate_state(coarse + 1))
    cells = _members(assign(points, train(points, coarse, iterations, first, redo, most=COARSE_POINTS))[1], coarse)
    sizes = np.array([len(cell) for cell in cells])
    counts = shares(sizes, np.array([len(np.unique(names[cell])) for cell in cells]), clusters)
    found, nearest, begin = [], np.empty(len(points), np.int64), 0
    for cell, count, own in zip(cells, counts.tolist(), seeds, strict=True):
        if count:
            inside, distinct = points[cell], np.unique(names[cell], return_index=True)[1]
            split = len(distinct) > count  # otherwise each distinct sample is a cluster
            found.append(train(inside, count, iterations, own, redo) if split else inside[np.sort(distinct)])
            nearest[cell] = begin + assign(inside, found[-1])[1]
            begin += count
    return np.concatenate(found), nearest


def _search(points: ndarray, centroids: ndarray, nearest: ndarray) -> tuple[ndarray, ndarray]:
    """Squared distances and ids (N,) of the nearest among the M centroids around each sample's present one."""
    distances, ids = np.empty(len(points), np.float32), np.empty(len(points), np.int64)
    around = _neighbours(centroids, centroids, min(CANDIDATES, len(centroids)))[1]
    for inside, candidates in zip(_members(nearest, len(centroids)), around, strict=True):
        if len(inside):
            distances[inside], found = assign(points[inside], centroids[candidates])
            ids[inside] = candidates[found]
    return distances, ids


def _means(points: ndarray, centroids: ndarray, distances: ndarray, nearest: ndarray) -> ndarray:
    """(K, D) means of the clusters; one without samples goes to the outermost sample of a cluster of large inertia."""
    members, moved = _members(nearest, len(centroids)), centroids.copy()
    for index, inside in enumerate(members):
        if len(inside):
            moved[index] = points[inside].mean(0)
    empty = [index for index, inside in enumerate(members) if not len(inside)]
    inertias = np.bincount(nearest, distances, len(centroids))
    widest = [index for index in np.argsort(-inertias, kind="stable") if len(members[index]) > 1]
    for index, wide in zip(empty, widest, strict=False):
        moved[index] = points[members[wide][distances[members[wide]].argmax()]]
    return moved


def _members(ids: ndarray, count: int) -> list[ndarray]:
    """For each of 0..count-1 the positions in `ids` (N,) that hold it, in order."""
    return np.split(np.argsort(ids, kind="stable"), np.cumsum(np.bincount(ids, minlength=count))[:-1])


def _neighbours(points: ndarray, centroids: ndarray, count: int) -> tuple[ndarray, ndarray]:
    """Squared distances and ids (N, count) of the nearest centroids, the nearest first."""
    import faiss

    index = faiss.IndexFlatL2(points.shape[1])
    index.add(centroids)
    distances, nearest = index.search(points, count)
    return distances, nearest
