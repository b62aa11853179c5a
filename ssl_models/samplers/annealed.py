"""Annealed importance sampling of log Z, where it cannot be computed (Neal 2001, Statistics and Computing 11).

Salakhutdinov & Murray 2008, "On the Quantitative Analysis of Deep Belief Networks" (ICML), for RBMs.

Letters: C chains, D numbers of a vector.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.encoders.energy import Between, EnergyEncoder
from ssl_models.samplers.langevin import langevin

SURE = 0.01
"""The base of 0 and 1 draws each number with at least this probability of either: data may lack what a model has."""
WIDER = 1.2
"""Deviation of the base of real numbers, of that of the data.

Where its tails were thinner than the model's, a few weights, seldom met, would make up the mean, and neither it nor its
error could be trusted.
"""
STEPS = (1.0, 0.4, 0.15)
"""Langevin's steps at each temperature, in deviations of the base, times D^(-1/6) (Roberts & Rosenthal 1998).

The first is of the width of the base, the last of that of a narrow peak. Each leaves the distribution as it is, so that
none need be tuned to the chains, which would bias the weights.
"""


@dataclass(frozen=True)
class Estimate:
    """value: of log Z, in nats. error: its standard error. effective: how many independent chains are worth as much.

    The mean weight is unbiased for Z, so that the value is too low on average, by error^2 / 2 for many chains.
    """

    value: float
    error: float
    effective: float


def annealed_log_partition(
    encoder: EnergyEncoder,
    mean: Tensor | Sequence[float],
    deviation: Tensor | Sequence[float] | None,
    *,
    chains: int = 256,
    temperatures: int = 500,
    generator: Generator,
) -> Estimate:
    """log Z, by chains that go from independent numbers, whose Z is known, to the encoder's distribution.

    With the inverse temperatures 0 = beta_0 < ... < beta_K = 1, equally far apart, f_k = exp(-E_k) and
    E_k = (1 - beta_k) E_base + E_beta (`EnergyEncoder.tempered`), a chain has the weight
    w = prod_k f_k(x_{k-1}) / f_{k-1}(x_{k-1}), and Z = Z_base mean(w) (Neal 2001, equation 11). x_k is drawn from
    x_{k-1} by a step that leaves f_k as it is: of Gibbs sampling where the encoder has it, else of Langevin dynamics
    with Metropolis' correction.
    mean, deviation: (D,) of the training data, `known` of them; the base has their means, and their deviations if the
    numbers are real. temperatures: K. On average the value is too low, and less so with more of both.
    Raises ValueError for settings out of range, or a mean or deviation that is not finite or of another length.
    """
    require_positive(temperatures=temperatures)
    if chains < 2:
        raise ValueError(f"chains is {chains}; it must be at least 2, or there is no error to tell")
    with torch.no_grad():
        base = _base(encoder, mean, deviation)
        betas = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64).tolist()
        weights = _log_weights(encoder, base, base.draw(chains, generator), betas, generator)
    return _estimate(base.log_partition() + weights)


@dataclass(frozen=True)
class Base:
    """Independent numbers with the unnormalised density exp(slope'x - curvature'x^2 / 2); no curvature: of 0 and 1."""

    slope: Tensor
    curvature: Tensor
    binary: bool

    def energy(self, x: Tensor) -> Tensor:
        """(C, D) -> (C,)."""
        return x.square() @ self.curvature / 2 - x @ self.slope

    def log_partition(self) -> float:
        """log Z."""
        if self.binary:
            return float(functional.softplus(self.slope.double()).sum())
        slope, curvature = self.slope.double(), self.curvature.double()
        return float((slope.square() / curvature + (2 * math.pi / curvature).log()).sum() / 2)

    def draw(self, chains: int, generator: Generator) -> Tensor:
        """(C, D)."""
        shape, device = (chains, len(self.slope)), generator.device
        if self.binary:
            uniform = torch.rand(shape, generator=generator, device=device).to(self.slope.device)
            return (uniform < self.slope.sigmoid()).float()
        noise = torch.randn(shape, generator=generator, device=device).to(self.slope.device)
        return self.slope / self.curvature + noise / self.curvature.sqrt()

    def between(self, beta: float) -> Between:
        """What is left of it at beta, beside the encoder."""
        return Between(beta, (1 - beta) * self.slope, (1 - beta) * self.curvature)


def _base(encoder: EnergyEncoder, mean: Tensor | Sequence[float], deviation: Tensor | Sequence[float] | None) -> Base:
    """Of the data's means, and of their deviations for real numbers; what never varies is given the deviation 1."""
    middle = _numbers(encoder, "mean", mean)
    if encoder.binary:
        return Base(middle.clamp(SURE, 1 - SURE).logit(), torch.zeros_like(middle), True)
    if deviation is None:
        raise ValueError("deviation is missing; real numbers have one each")
    spread = _numbers(encoder, "deviation", deviation)
    if bool((spread < 0).any()):
        raise ValueError(f"deviation has {float(spread.min()):g}; none may be below 0")
    curvature = (WIDER * torch.where(spread > 0, spread, 1.0)) ** -2
    return Base(middle * curvature, curvature, False)


def _numbers(encoder: EnergyEncoder, name: str, given: Tensor | Sequence[float]) -> Tensor:
    """(D,) float32, where the encoder is."""
    found = torch.as_tensor(given, dtype=torch.float32, device=next(encoder.parameters()).device)
    if found.shape != (encoder.visible,):
        raise ValueError(f"{name} has the shape {tuple(found.shape)}; the encoder reads {encoder.visible} numbers")
    if not bool(found.isfinite().all()):
        raise ValueError(f"{name} has numbers that are not finite")
    return found


def _log_weights(encoder: EnergyEncoder, base: Base, x: Tensor, betas: Sequence[float], generator: Generator) -> Tensor:
    """(C,) float64: log of the weights of chains that start at x."""
    found = -encoder.tempered(x, 0.0).double()  # what Z of the start is, over that of the base
    for before, beta in pairwise(betas):
        change = encoder.tempered(x, beta) - encoder.tempered(x, before) + (before - beta) * base.energy(x)
        found -= change.double()
        if beta < 1:
            x = _moved(encoder, base, x, beta, generator)
    return found


def _moved(encoder: EnergyEncoder, base: Base, x: Tensor, beta: float, generator: Generator) -> Tensor:
    """A step that leaves the distribution at beta as it is."""
    if encoder.resamples:
        return encoder.resampled(x, generator, base.between(beta))
    scale = base.curvature.rsqrt()  # steps in units of the base's deviation: of equal length for all numbers

    def energy(scaled: Tensor) -> Tensor:
        return (1 - beta) * base.energy(scaled * scale) + encoder.tempered(scaled * scale, beta)

    steps = [step * len(scale) ** (-1 / 6) for step in STEPS]
    return langevin(energy, x / scale, len(steps), steps, generator) * scale


def _estimate(weights: Tensor) -> Estimate:
    """Of logs of weights (C,) of chains, Z_base included. The error is that of the mean weight, over that mean."""
    chains, total = len(weights), weights.logsumexp(0)
    effective = float((2 * total - (2 * weights).logsumexp(0)).exp())
    error = math.sqrt(max(0.0, chains / effective - 1) / (chains - 1))
    return Estimate(float(total) - math.log(chains), error, effective)
