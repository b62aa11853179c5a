"""Negative sampling: tell a word's true neighbours from words of noise (Mikolov et al. 2013, arXiv:1310.4546).

Equation 4: -log s(u_c . v_t) - sum over K words w of noise of log s(-u_w . v_t), s being the logistic function. Here a
draw of M words of noise serves all pairs of a row, each weighted K / M: the expectation is the same, and the noise
becomes a product of matrices. Legend: B rows of L words, D numbers of a vector, W the window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.views.word_windows import neighbours


def skip_gram(centres: Tensor, contexts: Tensor, paired: Tensor, noise: Tensor, negatives: float) -> Tensor:
    """The mean loss of a pair of a centre and a word of its window.

    centres, contexts: (B, L, D), both vectors of each word. paired: (B, L, 2 W) bool, see word_windows.pairs.
    noise: (B, M, D). negatives: K, words of noise a pair. 0 where there is no pair.
    """
    around, _ = neighbours(centres.shape[1], paired.shape[2] // 2, centres.device)
    scores = torch.bmm(centres, contexts.transpose(1, 2))  # (B, L, L)
    true = scores.gather(2, around.expand(len(scores), -1, -1)).float()
    found = (functional.softplus(-true) * paired).sum()
    return (found + _noise(centres, noise, paired.sum(2), negatives)) / paired.sum().clamp(min=1)


def cbow(centres: Tensor, contexts: Tensor, paired: Tensor, noise: Tensor, negatives: float) -> Tensor:
    """The mean loss of a word that is told from the mean of its window's vectors.

    centres: (B, L, D), the vectors that predict: of the words around. contexts: (B, L, D), those that are predicted.
    The others as in `skip_gram`. 0 where no word has a window.
    """
    length, window = centres.shape[1], paired.shape[2] // 2
    around, _ = neighbours(length, window, centres.device)
    counted = paired.sum(2)  # (B, L)
    shares = torch.zeros(len(centres), length, length, device=centres.device, dtype=centres.dtype)
    shares.scatter_add_(2, around.expand(len(centres), -1, -1), paired.to(centres.dtype))
    mean = torch.bmm(shares, centres) / counted.clamp(min=1)[:, :, None]  # (B, L, D)
    some = counted > 0
    true = (mean * contexts).sum(2).float()
    found = (functional.softplus(-true) * some).sum()
    return (found + _noise(mean, noise, some, negatives)) / some.sum().clamp(min=1)


def chance(negatives: float) -> float:
    """The loss where all products are 0: (K + 1) log 2."""
    return (negatives + 1) * math.log(2)


def _noise(predicting: Tensor, noise: Tensor, pairs: Tensor, negatives: float) -> Tensor:
    """The sum over all pairs of the noise's part. pairs: (B, L), how many each word has."""
    against = torch.bmm(predicting, noise.transpose(1, 2)).float()  # (B, L, M)
    return (functional.softplus(against).sum(2) * pairs).sum() * (negatives / noise.shape[1])
