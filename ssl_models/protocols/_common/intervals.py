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
    low, high = _score_interval(hits / trials, trials, NormalDist().inv_cdf((1 + confidence) / 2))
    # The ends are exactly 0 and 1 where nothing or everything hit; rounding would leave 1e-17 of them.
    return (0.0 if hits == 0 else low), (1.0 if hits == trials else high)


def accuracies(layer: str, class_scores: ndarray, labels: ndarray, sources: ndarray | None = None) -> list[Score]:
    """Top-1 and top-5 of class_scores (N, K) against labels (N,), each with its interval, see `proportion`.

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
    ranks = (1, 5) if classes > 5 else (1,)
    return [proportion(layer, f"top{k}", matches[:, :k].any(axis=1), sources) for k in ranks]


def proportion(layer: str, metric: str, hits: ndarray, sources: ndarray | None = None) -> Score:
    """The share of hits (N,) bool, with its Wilson interval; where samples share `sources` (N,), see `over_sources`."""
    if sources is not None:
        return over_sources(layer, metric, hits.astype(np.float64), sources, seed=0)
    count, trials = int(hits.sum()), len(hits)
    low, high = wilson(count, trials)
    return Score(layer, metric, count / trials, low, high)


def over_sources(layer: str, metric: str, values: ndarray, sources: ndarray, *, seed: int) -> Score:
    """The mean of values (N,) from 0 to 1, with an interval over sources (N,): what each sample was cut from.

    Samples of one video are alike, so that they tell less than as many of different videos. Of shares, values of 0 and
    1, the interval is `clustered`, or Wilson's where each sample is a source of its own; of other values it is a
    bootstrap over sources, and `clustered` where there is only one source.
    """
    names, unit = np.unique(sources, return_inverse=True)
    value, units = float(values.mean()), len(names)
    share = np.isin(values, (0, 1)).all()
    if share and units == len(values):
        return Score(layer, metric, value, *wilson(round(value * units), units))
    if share or units == 1:
        return Score(layer, metric, value, *clustered(values, unit))
    sums, counts = np.bincount(unit, values), np.bincount(unit)

    def mean(rows: ndarray) -> float:
        return float(sums[rows].sum() / counts[rows].sum())

    return Score(layer, metric, value, *bootstrap(mean, units, seed=seed))


def clustered(values: ndarray, unit: ndarray, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a mean of values (N,) from 0 to 1, of G units: unit (N,) int64 from 0 to G - 1, each of a sample.

    Wilson's, with as many trials as would give the variance that the units' sums show, at most N, and with Student's t
    of G - 1 degrees of freedom (after Korn & Graubard 1998, Survey Methodology 24, 193). With m the mean, and s_g the
    sum of the values of a unit less m:
        trials = m (1 - m) / (G / (G - 1) * sum over g of s_g^2 / N^2)
    One unit alone is one trial; where all values are 0, or all 1, there are G. A bootstrap of few units is too narrow:
    of one, or of units that happen to agree, it is a point.
    """
    from scipy.special import stdtrit  # late: most data need none

    _refuse_confidence(confidence)
    mean, units = float(values.mean()), int(unit.max()) + 1
    if mean in (0, 1):
        return wilson(round(mean * units), units, confidence=confidence)
    if units == 1:
        return _score_interval(mean, 1, NormalDist().inv_cdf((1 + confidence) / 2))
    sums = np.bincount(unit, values - mean)
    variance = units / (units - 1) * float(np.square(sums).sum()) / len(values) ** 2
    trials = min(len(values), mean * (1 - mean) / max(variance, np.finfo(float).tiny))
    return _score_interval(mean, trials, float(stdtrit(units - 1, (1 + confidence) / 2)))


def _score_interval(share: float, trials: float, z: float) -> tuple[float, float]:
    """Where (share - p)^2 = z^2 p (1 - p) / trials."""
    scale = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / scale
    half = z / scale * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return centre - half, centre + half


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
