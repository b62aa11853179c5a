"""How many dimensions vectors fill, and how far apart they are: one definition for trainings and for protocols.

Numpy alone. Legend: N samples, D numbers of a vector.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray


def entropy_rank(values: ndarray) -> float:
    """exp(-sum p log p), p = values / their sum: K for K equal values, 1 where one holds all, and where all are 0."""
    values = np.maximum(values, 0)
    if not (total := values.sum()) > 0:
        return 1.0
    shares = values[values > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def singular_values(vectors: ndarray) -> ndarray:
    """(N, D) float64 -> its min(N, D) singular values, in descending order; by way of the smaller Gram matrix."""
    gram = vectors.T @ vectors if len(vectors) >= vectors.shape[1] else vectors @ vectors.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0))


def rankme(vectors: ndarray) -> float:
    """The rank of vectors (N, D) by the entropy of their singular values (Garrido et al. 2023, equation 1).

    From 1 to min(N, D). The vectors are not centred, as in the paper (arXiv:2210.02885): equal ones have the rank 1.
    Its 1e-7 that avoids log 0 is left out: 0 log 0 is 0.
    """
    return entropy_rank(singular_values(vectors))


def deviation(vectors: ndarray) -> float:
    """How far the directions of vectors (N, D) are apart: 0 where all are equal, about 1 where they are spread evenly.

    The standard deviation of each of the D numbers over samples, of vectors of length 1, on average, times sqrt(D):
    the measure of collapse of Chen & He 2021 (arXiv:2011.10566, section 4.1, figure 2), which they do not multiply.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1)
    return float(directions.std(0).mean() * np.sqrt(vectors.shape[1]))
