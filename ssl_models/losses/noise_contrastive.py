"""Noise-contrastive estimation with a constant normaliser, as pure functions. Letters: B samples, m negatives, n rows.

Wu et al. 2018 (arXiv:1805.01978, section 3.2). A feature's own row is told from m rows of noise. This fits the model
P(i | v) = exp(s(v_i, v) / t) / Z at a cost that does not grow with n, if Z is taken to be constant.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


@torch.no_grad()
def log_partition(negative: Tensor, samples: int) -> Tensor:
    """(B, m) logits with rows drawn uniformly from n = `samples` -> log Z, a scalar.

    Eq. 8, Z = n * mean of exp(s / t), averaged over the batch too.
    """
    return negative.float().flatten().logsumexp(0) + math.log(samples / negative.numel())


@torch.no_grad()
def kept_partition(log_z: Tensor, negative: Tensor, samples: int) -> Tensor:
    """`log_z`, a scalar, or `log_partition` where it is still NaN: the first batch of a training sets the constant."""
    return torch.where(log_z.isnan(), log_partition(negative, samples), log_z)


def nce(positive: Tensor, negative: Tensor, log_z: Tensor, samples: int) -> Tensor:
    """(B,) logits with the own row and (B, m) with noise -> the noise-contrastive loss of each sample, (B,).

    Eq. 6 and 7, with uniform noise P_n = 1 / n, n = `samples`:
        h(i, v) = P(i | v) / (P(i | v) + m P_n),    L = -log h(i, v) - sum over the m noise rows j of log(1 - h(j, v))
    h is the logistic function of s / t - log(Z m / n). Where all logits are equal, and so at the estimate of Z, it is
    1 / (m + 1), and the loss is that of `pirl_nce_chance`.
    """
    offset = log_z + math.log(negative.shape[1] / samples)
    return functional.softplus(offset - positive) + functional.softplus(negative - offset).sum(1)
