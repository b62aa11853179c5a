"""How features fill their dimensions: the exponent of their spectrum, and the rank of what views keep.

Legend: N samples, V views of each, D features.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray
from scipy import linalg

from ssl_models.dimensions import entropy_rank, singular_values

FIRST, LAST = 11, 100
"""The ranks that `exponent` is fitted to, as far as there are so many. Stringer et al. begin with the same one."""
FEWEST = 10
"""Ranks that a fit needs."""
NEGLIGIBLE = 1e-9
"""Eigenvalues below this share of the mean square of features are rounding: they are stored with 11 bits."""
RIDGE = 1e-4
"""Of the mean variance of a feature, added to the variance within samples; the paper adds 1e-4, whatever the scale."""


def spectrum(features: ndarray) -> ndarray:
    """(N, D) -> the eigenvalues of their covariance in descending order, without those that are rounding."""
    found = np.square(singular_values(features - features.mean(0))) / max(1, len(features) - 1)
    return found[found > NEGLIGIBLE * np.square(features).sum() / len(features)]


def exponent(eigenvalues: ndarray) -> float:
    """The alpha of eigenvalues in proportion to rank^-alpha (Agrawal et al. 2022; the fit of Stringer et al. 2019).

    A line through the logarithms, from rank 11 to 100 or as far as the spectrum goes. A rank has the weight 1 / rank,
    so that every octave of ranks has the same. It needs 20 eigenvalues; NaN for fewer.
    """
    ranks = np.arange(FIRST, min(LAST, len(eigenvalues)) + 1)
    if len(ranks) < FEWEST:
        return float("nan")
    weights = np.sqrt(1 / ranks)  # numpy squares them
    return -float(np.polyfit(np.log(ranks), np.log(eigenvalues[ranks - 1]), 1, w=weights)[0])


def lidar(views: ndarray) -> float:
    """The rank of linear discriminant analysis (Thilak et al. 2024, equations 1 to 4), each sample a class.

    views: (V, N, D) float64, features of V views of each sample. B is the covariance of the samples' means, W that of
    views around them. The rank by entropy is that of W^-1/2 B W^-1/2, of which the eigenvalues are those of W^-1 B.

    The mean of V views holds W / V of their deviation, which here is subtracted from B. The paper takes 50 views, where
    it is little. It is not little for four. NaN where N (V - 1) <= D, where W is not known in all directions.
    """
    count, samples, size = views.shape
    if samples * (count - 1) <= size:
        return float("nan")
    means = views.mean(0)  # (N, D)
    around = (views - means).reshape(-1, size)
    within = around.T @ around / (samples * (count - 1))
    centred = means - means.mean(0)
    between = centred.T @ centred / (samples - 1) - within / count
    ridge = RIDGE * (np.trace(within) + max(0.0, np.trace(between))) / size
    if not ridge > 0:
        return 1.0
    return entropy_rank(linalg.eigh(between, within + ridge * np.eye(size), eigvals_only=True))
