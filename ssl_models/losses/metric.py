"""Losses of metric learning as pure functions: pairs and triplets with a margin, and N pairs at once.

Letters: B samples, N others, D dimensions. Distances and products are worked out in float32 even under autocast.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.losses.contrastive import similarity, unit


def euclidean_distance(first: Tensor, second: Tensor) -> Tensor:
    """(B, D) and (N, D) -> (B, N) Euclidean distances, in float32.

    Each is computed from the differences of its vectors: from products of vectors, rounding would dominate small
    distances. Where two vectors are equal, the gradient is 0.
    """
    return torch.cdist(first.float(), second.float(), compute_mode="donot_use_mm_for_euclid_dist")


def cosine_energy(first: Tensor, second: Tensor) -> Tensor:
    """(B, D) and (N, D) -> (B, N) energies `1 - cosine` in [0, 2], in float32.

    A Euclidean distance can be changed by making vectors short (near zero all are close) or long (any two are far
    apart), which tells nothing about the samples. A cosine does not depend on lengths.
    """
    return 1 - similarity(unit(first), unit(second))


def agreement(first: Tensor, second: Tensor) -> Tensor:
    """(B, D) and (B, D) -> (): how much closer a row is to its own partner than to those of others, in float32.

    1 - E |x_i - y_i|^2 / E |x_i - y_j|^2 for unit vectors, over rows i and, in the denominator, j other than i: the
    measure of protocols/invariance.py. 1 where partners are equal, 0 where they are as far apart as strangers. 0 for a
    single row, and where all vectors are equal.
    """
    cosines = similarity(unit(first), unit(second))
    own, count = cosines.diagonal().mean(), len(cosines)
    others = (cosines.sum() - cosines.diagonal().sum()) / max(count * (count - 1), 1)
    apart = 1 - others
    return torch.where((apart > 1e-6) & (count > 1), (own - others) / apart, torch.zeros_like(own))


def margin_loss(similar: Tensor, dissimilar: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Distances (...) of similar pairs and (...) of dissimilar ones -> their losses, of the same two shapes.

    Hadsell, Chopra & LeCun 2006 (CVPR), eq. 4, with Y = 0 for a similar pair and 1 for a dissimilar one:
        L = (1 - Y) D^2 / 2 + Y max(0, margin - D)^2 / 2
    where D is their Euclidean distance, or `cosine_energy`.
    """
    return similar.square() / 2, functional.relu(margin - dissimilar).square() / 2


def margin_loss_chance(margin: float) -> float:
    """The least sum of the losses of a similar and a dissimilar pair of equal distance: margin^2 / 4.

    D^2 / 2 + max(0, m - D)^2 / 2 is least at D = m / 2. A lower loss is possible only where similar pairs are closer
    than dissimilar ones. Mapping everything to one point costs twice as much.
    """
    return margin**2 / 4


def triplet_loss(similar: Tensor, dissimilar: Tensor, margin: float) -> Tensor:
    """Distances (...) to a similar sample and (...) to a dissimilar one -> their losses (...).

    Wang & Gupta 2015 (arXiv:1505.00687, eq. 2): max(0, D(similar) - D(dissimilar) + margin), with D = 1 - cosine. It is
    the margin where the two distances are equal, as they are where everything is mapped to one point.
    """
    return functional.relu(similar - dissimilar + margin)


def n_pair(anchor: Tensor, positive: Tensor) -> Tensor:
    """The multi-class N-pair loss of B pairs (B, D) and (B, D), which are not normalised, a scalar.

    Sohn 2016 (NIPS, "N-pair-mc"): the mean over i of log( 1 + sum over j != i of exp(f_i . f_j+ - f_i . f_i+) ), which
    is the cross entropy of i among the products of f_i with every f_j+.
    """
    products = similarity(anchor, positive)  # (B, B)
    return functional.cross_entropy(products, torch.arange(len(products), device=products.device))


def n_pair_penalty(anchor: Tensor, positive: Tensor) -> Tensor:
    """Half the mean squared length of all 2B vectors, (B, D) and (B, D), a scalar.

    Sohn 2016, section 3.2.2: a product grows with the lengths of the vectors, although only directions should decide.
    Normalised vectors would bound it by 1, and so bound the loss from below. So lengths are allowed, with a penalty.
    """
    return torch.cat([anchor, positive]).float().square().sum(1).mean() / 2


def n_pair_chance(batch: int) -> float:
    """The N-pair loss of B pairs where all products are equal: log(B)."""
    return math.log(batch)
