"""Multinomial logistic regression by L-BFGS, with the features in memory.

The loss is `mean cross-entropy + weight_decay / 2 * ||weights||^2`; the bias does not decay.
Legend: N samples, B of a block, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ssl_models.protocols._linear import lbfgs

BLOCK = 1024
"""Samples of a block. Computed in blocks, an evaluation reads the features from memory once instead of twice."""


@dataclass(frozen=True)
class Problem:
    """features: (N, D) float32, standardised. labels: (N,) int64. gram: X'X / N, (D, D) float64."""

    features: Tensor
    labels: Tensor
    classes: int
    gram: Tensor

    @classmethod
    def of(cls, features: Tensor, labels: Tensor, classes: int) -> Problem:
        return cls(features, labels, classes, (features.T @ features).double() / len(features))


@dataclass(frozen=True)
class Fit:
    """Where a fit has ended.

    solution: (K, D + 1) float64, the weights and, as the last column, the bias. pairs: those of L-BFGS, of the
    cross-entropy alone, so that a fit with another weight decay can use them.
    """

    solution: Tensor
    pairs: lbfgs.Pairs

    @classmethod
    def zero(cls, problem: Problem) -> Fit:
        """The start of a first fit."""
        return cls(torch.zeros(problem.classes, problem.features.shape[1] + 1, dtype=torch.float64), [])


def minimise(
    problem: Problem, start: Fit, *, row_weights: Tensor, weight_decay: float, iterations: int, tolerance: float
) -> Fit:
    """The minimum of the loss. row_weights: (N,); a 0 leaves a sample out without a copy of the others.

    At zero weights the Hessian is (I - 11'/K) / K (x) X'X / N + weight_decay I. L-BFGS starts from its inverse without
    the term 11'/K. See `lbfgs.minimise` for iterations and tolerance.
    """
    decay = torch.full((problem.features.shape[1] + 1,), weight_decay, dtype=torch.float64)
    decay[-1] = 0
    # Weight decay adds decay * step to the change of the gradient.
    solution, pairs = lbfgs.minimise(
        partial(_loss_and_gradient, problem, row_weights / row_weights.sum(), decay),
        start.solution,
        [(step, change + decay * step) for step, change in start.pairs],
        inverse=torch.cholesky_inverse(factor(problem.gram, problem.classes, weight_decay)),
        iterations=iterations,
        tolerance=tolerance,
    )
    return Fit(solution, [(step, change - decay * step) for step, change in pairs])


def factor(gram: Tensor, classes: int, weight_decay: float) -> Tensor:
    """(D + 1, D + 1): the Cholesky factor of gram / K + weight_decay I, with 1 / K in the place of the bias."""
    size = len(gram)
    # gram is a float32 product. A thousandth of its mean eigenvalue covers the rounding.
    ridge = weight_decay + 1e-3 * float(gram.diagonal().mean()) / classes
    identity = torch.eye(size + 1, dtype=torch.float64)
    hessian = identity / classes
    hessian[:size, :size] = gram / classes + ridge * identity[:size, :size]
    return torch.linalg.cholesky(hessian)


def _loss_and_gradient(problem: Problem, row_weights: Tensor, decay: Tensor, solution: Tensor) -> tuple[float, Tensor]:
    """The loss and its gradient (K, D + 1) at a solution (K, D + 1) float64. decay: (D + 1,), of each column."""
    weights, bias = solution[:, :-1].float(), solution[:, -1:].float()
    loss, slope, bias_slope = torch.zeros(()), torch.zeros_like(weights), torch.zeros_like(bias)
    minus_one = torch.full((1, BLOCK), -1.0)
    parts = (problem.features, problem.labels[:, None], row_weights)
    for features, labels, weight in zip(*(torch.split(part, BLOCK) for part in parts), strict=True):
        # (K, B): classes first, since a softmax over neighbouring columns costs ten times one over rows.
        logs = torch.addmm(bias, weights, features.T).log_softmax(0)
        loss -= logs.gather(0, labels.T)[0] @ weight
        errors = logs.exp_().scatter_add_(0, labels.T, minus_one[:, : len(weight)]).mul_(weight)
        slope.addmm_(errors, features)
        bias_slope += errors.sum(1, keepdim=True)
    gradient = torch.cat([slope, bias_slope], 1) + decay * solution
    return float(loss) + float((decay * solution.square()).sum()) / 2, gradient
