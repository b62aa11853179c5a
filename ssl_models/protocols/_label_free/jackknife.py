"""Intervals of statistics that repeated samples would bias: parts of the samples are left out in turn.

The bootstrap draws samples with repetitions. A repeated sample adds no rank and is its own nearest neighbour, so that
ranks come out too small and neighbours too alike. Leaving out repeats nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, sqrt

import numpy as np
from numpy import ndarray
from scipy import stats

from ssl_models.protocols._common.score import Score

GROUPS = 20


def score(
    layer: str,
    metric: str,
    statistic: Callable[[ndarray], float],
    samples: int,
    *,
    seed: int,
    groups: int = GROUPS,
    within: tuple[float, float] = (-inf, inf),
) -> Score:
    """A statistic of all samples, with the 95 % interval of the delete-a-group jackknife.

    value -+ t * sqrt((G - 1) / G * sum over g of (value without group g - their mean)^2), with t of G - 1 degrees of
    freedom (Kott 2001, Journal of Official Statistics 17). The interval is that of other samples of the same number. A
    rank grows with this number, and the interval does not tell how much.

    statistic: ascending rows of samples -> a number. groups: G, at random and of equal size as far as possible; at most
    one for every two samples. within: the range of the statistic.
    """
    rows = np.arange(samples)
    value = statistic(rows)
    parts = np.array_split(np.random.default_rng(seed).permutation(samples), min(groups, samples // 2))
    left = np.array([statistic(np.setdiff1d(rows, part, assume_unique=True)) for part in parts])
    deviation = sqrt((len(parts) - 1) * left.var())
    half = float(stats.t.ppf(0.975, len(parts) - 1)) * deviation
    low, high = (min(max(end, within[0]), within[1]) for end in (value - half, value + half))
    return Score(layer, metric, value, min(low, value), max(high, value))
