"""Losses without negatives, as pure functions: agreement of two views, and what keeps it from being trivial.

Letters: B samples, D dimensions. All are worked out in float32, even under autocast.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.losses.contrastive import unit

EPSILON = 1e-4
"""Is added to a variance before its root is taken (Bardes et al. 2022, section 4.1)."""


def cosine(first: Tensor, second: Tensor) -> Tensor:
    """(B, D) and (B, D) -> the mean cosine similarity of the rows, a scalar; gradients go to both."""
    return (unit(first) * unit(second)).sum(1).mean()


def cross_correlation(first: Tensor, second: Tensor) -> Tensor:
    """(B, D) and (B, D) -> (D, D), the correlation of each number of the one with each of the other over the batch.

    Zbontar et al. 2021 (arXiv:2103.03230, eq. 2). The authors' code normalises by the biased deviation, with an epsilon
    of 1e-5: a batch normalisation without parameters.
    """
    with torch.autocast(first.device.type, enabled=False):
        one, other = (functional.batch_norm(view.float(), None, None, training=True) for view in (first, second))
        return one.T @ other / len(one)


def barlow_twins(first: Tensor, second: Tensor, redundancy: float) -> tuple[Tensor, Tensor]:
    """The two terms of Barlow Twins' loss (arXiv:2103.03230, eq. 1), two scalars, whose sum it is.

    With C the cross-correlation of the views' projections (B, D):
        sum over i of (1 - C_ii)^2, and redundancy * sum over i and j != i of C_ij^2
    """
    correlation = cross_correlation(first, second)
    diagonal = correlation.diagonal()
    return (1 - diagonal).square().sum(), redundancy * _beside_diagonal(correlation)


def vicreg(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Invariance, variance and covariance (Bardes et al. 2022, arXiv:2105.04906), three scalars without their weights.

    Of projections (B, D), as the authors' code has them; what differs from the paper is in brackets:
        invariance: the mean of (z - z')^2 over samples and numbers [eq. 5: the sum over the numbers]
        variance: the mean over the views [section 4.1: the sum] and over the numbers of max(0, 1 - deviation)  (eq. 1)
        covariance: the sum over the views of the squares of all covariances beside the diagonal, divided by D (eq. 4)
    """
    first, second = first.float(), second.float()
    both = (first, second)
    with torch.autocast(first.device.type, enabled=False):
        spread = torch.stack([functional.relu(1 - (view.var(0) + EPSILON).sqrt()).mean() for view in both]).mean()
        shared = torch.stack([_beside_diagonal(_covariance(view)) / view.shape[1] for view in both]).sum()
    return functional.mse_loss(first, second), spread, shared


def _covariance(vectors: Tensor) -> Tensor:
    """(B, D) -> (D, D), with the divisor B - 1 (Bardes et al. 2022, eq. 3)."""
    centred = vectors - vectors.mean(0)
    return centred.T @ centred / (len(vectors) - 1)


def _beside_diagonal(matrix: Tensor) -> Tensor:
    """(D, D) -> the sum of the squares of all but the diagonal. No difference of sums, which would round it away."""
    return (matrix - matrix.diagonal().diag()).square().sum()
