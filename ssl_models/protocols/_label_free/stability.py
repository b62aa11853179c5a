"""Whether k-means finds the same clusters in one half of the samples as in the other. Legend: N samples, D features."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy import ndarray
from scipy import stats

from ssl_models.protocols._common.score import Score

STARTS = 3
"""Of each k-means; the best counts."""


def cluster_stability(layer: str, points: ndarray, *, clusters: int, draws: int, seed: int) -> Score:
    """The mean adjusted Rand index (Hubert & Arabie 1985, Journal of Classification 2) over draws of halves.

    points: (N, D) of unit length. In each draw k-means is fitted to either half, and both put all samples into
    clusters. 1 where these are the same, 0 by chance, and 0 by definition where there is one cluster.

    Halves of several draws share samples, so their mean is less certain than its deviation says. The interval is
    mean -+ t * s * sqrt(1 / J + 1), of J draws with the deviation s, for parts of one half (Nadeau & Bengio 2003,
    Machine Learning 52, equation 9).
    """
    random = np.random.default_rng(seed)
    found = np.array([_agreement(points, clusters, random) for _ in range(draws)])
    half = float(stats.t.ppf(0.975, draws - 1) * found.std(ddof=1) * sqrt(1 / draws + 1))
    value = float(found.mean())
    return Score(layer, "cluster_stability", value, value - half, max(value, min(1.0, value + half)))


def _agreement(points: ndarray, clusters: int, random: np.random.Generator) -> float:
    """Of one draw."""
    halves = np.array_split(random.permutation(len(points)), 2)
    first, second = (_labels(points, half, clusters, int(random.integers(2**31))) for half in halves)
    return adjusted_rand(first, second)


def _labels(points: ndarray, half: ndarray, clusters: int, seed: int) -> ndarray:
    """(N,): the cluster of each sample, found in a part of them."""
    from sklearn.cluster import KMeans

    distinct = len(np.unique(points[half], axis=0))  # scikit-learn warns where there are more clusters
    means = KMeans(min(clusters, distinct), n_init=STARTS, random_state=seed).fit(points[half])
    return np.asarray(means.predict(points))


def adjusted_rand(first: ndarray, second: ndarray) -> float:
    """Of two labellings (N,); 0 where either is of one class, which agrees with anything."""
    from sklearn.metrics import adjusted_rand_score

    if min(len(np.unique(labels)) for labels in (first, second)) < 2:
        return 0.0
    return float(adjusted_rand_score(first, second))
