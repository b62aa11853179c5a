"""Losses that compare how views are assigned to prototypes, as pure functions.

Letters: B samples, K prototypes. All are worked out in float32, even under autocast.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

ITERATIONS = 3


@torch.no_grad()
def sinkhorn(scores: Tensor, sharpness: float, iterations: int = ITERATIONS) -> Tensor:
    """Scores (B, K) -> codes (B, K): each sample's is a distribution, and all prototypes are used about equally.

    Caron et al. 2020 (arXiv:2006.09882, eq. 3 to 5): Q = diag(u) exp(scores / epsilon) diag(v), whose sums over the
    batch are B / K each in the limit of many iterations (Cuturi 2013), and whose rows sum to 1 after each. In
    logarithms, so that no sharpness overflows. sharpness: epsilon, a small one gives nearly one prototype a sample.
    """
    logarithm = scores.float() / sharpness
    for _ in range(iterations):
        logarithm = logarithm - logarithm.logsumexp(0, keepdim=True)  # each prototype as much as another
        logarithm = logarithm - logarithm.logsumexp(1, keepdim=True)  # each sample once
    return logarithm.exp()


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Distributions (B, K) and logits (B, K) -> -sum_k target log softmax(logits), the mean over samples, a scalar."""
    return -(target * logits.float().log_softmax(1)).sum(1).mean()


def swapped(targets: Sequence[Tensor], logits: Sequence[Tensor]) -> Tensor:
    """The mean cross entropy of each view's logits and the target of each other view, a scalar.

    targets: of the first views, distributions (B, K). logits: of all views, (B, K). A view is not compared with its own
    target (SwAV: arXiv:2006.09882, eq. 2 and 6; DINO: arXiv:2104.14294, eq. 3).
    """
    pairs = [(target, view) for place, target in enumerate(targets) for at, view in enumerate(logits) if at != place]
    return torch.stack([cross_entropy(target, view) for target, view in pairs]).mean()


def sharpened(scores: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """A teacher's scores (B, K) and their centre (K,) -> distributions (B, K) (DINO, arXiv:2104.14294, section 3.1)."""
    return ((scores.float() - centre) / temperature).softmax(1)
