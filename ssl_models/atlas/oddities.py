"""What is worth a look in a data set: samples that are nearly the same, and samples that resemble no others.

numpy and scipy only. Legend: N samples, k neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray

MEDIAN_DEVIATION, MEAN_DEVIATION = 1.4826, 1.2533
"""A normal distribution's standard deviation over its median and its mean absolute deviation from the median."""


NEAR = 0.75
"""Near-duplicates are nearer than this share of the distance that is usual here."""


def threshold(distances: ndarray) -> float:
    """Distances to the k nearest (N, k) -> the distance below which two samples may be near-duplicates.

    Three quarters of the median distance to the k-th nearest, about the usual distance to the nearest: encoders differ
    in how close they put different samples, so no fixed distance will do. It is the k-th, since the nearest is itself a
    copy where each sample is there twice. Much is nearer than that without being the same, so `alike` has to agree
    (ssl_models/atlas/looks.py).
    """
    return float(NEAR * np.median(distances[:, -1])) if distances.size else 0.0


def near_duplicates(rows: ndarray, distances: ndarray, threshold: float, alike: ndarray | None = None) -> ndarray:
    """Neighbours (N, k) and their distances (N, k) -> (N,) int32: the group of each sample, -1 for those of none.

    Two samples are joined where one is the other's neighbour at a distance of at most `threshold`, and where `alike`
    (N, k) bool, if given, says so; a group is all that are joined directly or through others. Groups count from 0 in
    the order of their first samples.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    joined = distances <= threshold
    if alike is not None:
        joined &= alike
    first, place = np.nonzero(joined)
    links = coo_array((np.ones(len(first), bool), (first, rows[first, place])), shape=(len(rows), len(rows)))
    _, component = connected_components(links, directed=False)
    sizes = np.bincount(component, minlength=1)
    _, begins = np.unique(component, return_index=True)
    numbers = np.full(len(sizes), -1, np.int32)
    several = np.flatnonzero(sizes > 1)
    numbers[several[np.argsort(begins[several])]] = np.arange(len(several), dtype=np.int32)
    return np.asarray(numbers[component], np.int32)


def outliers(distances: ndarray) -> ndarray:
    """Distances to the k nearest (N, k) -> (N,) float32: how far from others each sample is, as a modified z-score.

    The mean distance to the k nearest (Angiulli & Pizzuti 2002, PKDD) less its median over all samples, in units of
    1.4826 times the median absolute deviation; of 1.2533 times the mean absolute deviation where that is 0 (Iglewicz &
    Hoaglin 1993, chapter 3). Above 3.5 is called an outlier there. All zero where all are as far, or k is 0.
    """
    if not distances.size:
        return np.zeros(len(distances), np.float32)
    mean = distances.mean(1, dtype=np.float64)
    beyond = mean - np.median(mean)
    spread = MEDIAN_DEVIATION * float(np.median(np.abs(beyond))) or MEAN_DEVIATION * float(np.abs(beyond).mean())
    return np.asarray(beyond / spread if spread else np.zeros(len(mean)), np.float32)
