"""Losses that give an energy its shape without log Z, as pure functions. Letters: B vectors, D numbers of a vector.

E(x) is an energy, p(x) = exp(-E(x)) / Z; a flip turns one number of 0 and 1 into the other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def ratio_matching(flips: Tensor) -> Tensor:
    """(B, D) E(x_flipped) - E(x) -> (): the mean over vectors of sum_i g(p(x) / p(x_flipped_i))^2, g(u) = 1 / (1 + u).

    Hyvarinen 2007, "Some extensions of score matching", CSDA 51, for binary variables. The ratio is exp(flip), and so
    g = sigmoid(-flip). The expectation over a true p is, up to a constant, the squared distance of the model's g from
    the true ones, and so is least at the true energy. Equal energies give D / 4.
    """
    return torch.sigmoid(-flips).square().sum(1).mean()


def probability_flow(flips: Tensor) -> Tensor:
    """(B, D) E(x_flipped) - E(x) -> (): the mean over vectors of sum_i exp((E(x) - E(x_flipped_i)) / 2).

    Sohl-Dickstein, Battaglino & DeWeese 2011 (arXiv:0906.4779): their objective K over epsilon, where states are
    connected that differ in one number. The paper leaves out flows from one sample into another; here all are counted.
    The expectation over p itself stays stationary at the true energy: p(x) exp((E(x) - E(y)) / 2) is the same in both
    directions, and so the gradients of the flows from x to y and from y to x cancel. Equal energies give D. A flip that
    lowers the energy by 177 or more overflows to infinity.
    """
    return (-flips / 2).exp().sum(1).mean()


def noise_contrastive(data: Tensor, noise: Tensor, ratio: int) -> Tensor:
    """Logits (B,) of samples and (B * ratio,) of noise -> (): -mean log h(data) - ratio * mean log(1 - h(noise)).

    Gutmann & Hyvarinen 2012, "Noise-Contrastive Estimation of Unnormalized Statistical Models", JMLR 13, section 2.2:
    h = p_model / (p_model + ratio * p_noise), whose logit is log p_model - log p_noise - log ratio. Where model and
    noise are the same, it is `nce_chance`.
    """
    return functional.softplus(-data).mean() + ratio * functional.softplus(noise).mean()


def nce_chance(ratio: int) -> float:
    """`noise_contrastive` where the model is the noise: log(1 + r) + r log(1 + 1 / r)."""
    return math.log(1 + ratio) + ratio * math.log(1 + 1 / ratio)


def denoising_score(score: Tensor, noise: Tensor, sigma: float) -> Tensor:
    """(B, D) the score at x + sigma * noise, and the noise -> (): the mean of |sigma * score + noise|^2 / 2.

    Vincent 2011, "A Connection Between Score Matching and Denoising Autoencoders", Neural Computation 23, eq. 10, times
    sigma^2. A score of zero gives D / 2.
    """
    return (sigma * score + noise).square().sum(1).mean() / 2
