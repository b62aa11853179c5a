"""95 % intervals of shares and of other statistics, and accuracies with their intervals.

numpy only: protocols that use faiss must not bring torch into their process.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, sqrt
from statistics import NormalDist

import numpy as np
from numpy import ndarray

from ssl_models.protocols._common.score import Score


def wilson(hits: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927; Brown, Cai and DasGupta 2001, equation 4).

    Unlike the bootstrap and the normal interval it does not shrink to a point where all or none of the trials hit.
    """
    _refuse_confidence(confidence)
    if trials < 1 or not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits of {trials} trials: there must be at least one trial and 0 <= hits <= trials")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, scale = hits / trials, 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # The ends are exactly 0 and 1 where nothing or everything hit; rounding would leave 1e-17 of them.
    return (0.0 if hits == 0 else centre - half), (1.0 if hits == trials else centre + half)


def accuracies(layer: str, class_scores: ndarray, labels: ndarray) -> list[Score]:
    """Top-1 and top-5 of class_scores (N, K) against labels (N,), each with its Wilson interval.

    Of equal scores the class with the lower index comes first, so that a constant representation answers one class.
    top5 is left out for five classes or fewer, where it is always 1.
    """
    if len(labels) == 0 or class_scores.shape[0] != len(labels):
        raise ValueError(f"layer '{layer}' has {class_scores.shape[0]} test samples and {len(labels)} test labels")
    if not np.isfinite(class_scores).all():
        raise ValueError(f"layer '{layer}': class scores that are not finite cannot be ranked")
    classes = class_scores.shape[1]
    order = np.argsort(-class_scores, axis=1, kind="stable")  # (N, K)
    matches = order == labels[:, None]
    return [proportion(layer, f"top{k}", matches[:, :k].any(axis=1)) for k in (1, 5) if k == 1 or classes > k]


def proportion(layer: str, metric: str, hits: ndarray) -> Score:
    """The share of hits (N,) bool, with its Wilson interval."""
    count, trials = int(hits.sum()), len(hits)
    low, high = wilson(count, trials)
    return Score(layer, metric, count / trials, low, high)


def bootstrap(
    statistic: Callable[[ndarray], float], units: int, *, seed: int, resamples: int = 1000, confidence: float = 0.95
) -> tuple[float, float]:
    """The percentile interval of a statistic over resampled units (Efron 1979), such as a mean over test images.

    statistic: indices of units, (units,) int64 with repetitions -> a number. Numbers that are not finite are left out.
    The interval always holds the statistic of the original units, although resampling may shift one that is no mean.
    """
    _refuse_confidence(confidence)
    if units < 1 or resamples < 1:
        raise ValueError(f"{resamples} resamples of {units} units: there must be at least one of each")
    draws = np.random.default_rng(seed)
    found = np.array([statistic(draws.integers(units, size=units)) for _ in range(resamples)])
    whole = statistic(np.arange(units))
    found = found[np.isfinite(found)]
    if len(found) == 0 or not isfinite(whole):
        raise ValueError("the statistic is not finite on the units that there are")
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return min(float(low), whole), max(float(high), whole)


def _refuse_confidence(confidence: float) -> None:
    if not isfinite(confidence) or not 0 < confidence < 1:
        raise ValueError(f"confidence = {confidence} must lie between 0 and 1, both excluded")
