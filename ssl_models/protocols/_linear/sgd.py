"""Multinomial logistic regression by stochastic gradient descent, for features that do not fit into memory.

Legend: N samples, B of a batch, D features, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.protocols._linear.standardised import Standardised

BATCH = 1024
BLOCK = 65536
"""Samples that are read and shuffled together: 128 MiB at 512 features."""


def minimise(
    train: Standardised,
    labels: Tensor,
    kept: Tensor,
    *,
    classes: int,
    weight_decay: float,
    to_weights: Tensor,
    epochs: int,
    seed: int,
) -> Tensor:
    """(K, D + 1), the weights and, as the last column, the bias: near the minimum that L-BFGS finds.

    labels: (N,) int64. kept: (N,) bool, which samples count. to_weights: (D + 1, D + 1), the change from coordinates in
    which the Hessian at zero weights is about the identity, so that one learning rate suits every direction. The
    learning rate falls from 1 to 0 along half a cosine. Blocks, and samples within a block, come in random order.
    """
    generator = torch.Generator().manual_seed(seed)
    solution = torch.zeros(classes, to_weights.shape[0], dtype=torch.float64)  # in those coordinates
    starts = range(0, len(train), BLOCK)
    step, steps = 0, epochs * sum(math.ceil(min(BLOCK, len(train) - start) / BATCH) for start in starts)
    for _ in range(epochs):
        for number in torch.randperm(len(starts), generator=generator).tolist():
            place = slice(starts[number], min(starts[number] + BLOCK, len(train)))
            block, own = train.rows(place.start, place.stop), labels[place]
            order = torch.randperm(len(own), generator=generator)
            for batch in torch.split(order, BATCH):
                batch = batch[kept[place][batch]]
                rate = (1 + math.cos(math.pi * step / steps)) / 2
                step += 1
                if len(batch):
                    slope = _slope(solution @ to_weights, block[batch], own[batch], weight_decay)
                    solution -= rate * slope @ to_weights.T
    return (solution @ to_weights).float()


def _slope(solution: Tensor, features: Tensor, labels: Tensor, weight_decay: float) -> Tensor:
    """(K, D + 1): the gradient of the mean cross-entropy and the weight decay over a batch (B, D)."""
    weights = solution.float()
    logits = functional.linear(features, weights[:, :-1], weights[:, -1])
    errors = (logits.softmax(1) - functional.one_hot(labels, len(solution))) / len(labels)  # (B, K)
    slope = torch.cat([errors.T @ features, errors.sum(0)[:, None]], 1).double()
    slope[:, :-1] += weight_decay * solution[:, :-1]
    return slope
