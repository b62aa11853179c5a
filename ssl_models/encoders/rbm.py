"""The restricted Boltzmann machine: visible and hidden units, and weights between them only.

Smolensky 1986 ("harmonium"); Hinton 2002, "Training Products of Experts by Minimizing Contrastive Divergence" (Neural
Computation 14). With real visible units: Welling, Rosen-Zvi & Hinton 2004 (NIPS 17).

Letters: B vectors, D visible and H hidden units.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.encoders.energy import Between, EnergyEncoder, in_float32
from ssl_models.encoders.states import MOST, log_sum

SPREAD = 0.01
"""Deviation of the weights at the start (Hinton 2010, "A Practical Guide to Training RBMs", section 8)."""


class RBM(EnergyEncoder):
    """E(v) = -b'v - sum_j softplus(c_j + (v'W)_j): the free energy, the hidden units being summed out.

    Real visible units: E(v) = |v - b|^2 / (2 s^2) - sum_j softplus(c_j + (v'W)_j / s), with one deviation s that is
    learnt. That is a mixture of 2^H Gaussians.

    The layer `hidden` holds P(h_j = 1 | v), and is the representation.

    visible, binary: from the data. hidden: H. Default 12: up to 20, log Z is exact by a sum over their states.
    """

    name = "rbm"

    def __init__(self, *, visible: int, binary: bool = True, hidden: int = 12) -> None:
        super().__init__()
        require_positive(visible=visible, hidden=hidden)
        self.visible, self.binary, self.dim = visible, binary, hidden
        self.settings = {"visible": visible, "binary": binary, "hidden": hidden}
        self.weight = nn.Parameter(SPREAD * torch.randn(visible, hidden))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.log_deviation = None if binary else nn.Parameter(torch.zeros(()))

    @property
    def deviation(self) -> Tensor | float:
        """s; 1 for units of 0 and 1."""
        return 1.0 if self.log_deviation is None else self.log_deviation.exp()

    def standardise(self, *inputs: Tensor) -> Tensor:
        """(B, D), as it is."""
        return inputs[0]

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """hidden: (B, D) -> (B, H), probabilities."""
        return {"hidden": lambda x: torch.sigmoid(self._inputs(x))}

    def pool(self, last: Tensor) -> Tensor:
        """(B, H), as it is."""
        return last

    def energy_of(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,): the free energy."""
        return self._own(x) - functional.softplus(self._inputs(x)).sum(1)

    def flips_of(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D), by (B, D, H) numbers: a flip adds or takes away one row of W."""
        change = 1 - 2 * x
        before = self._inputs(x).unsqueeze(1)
        after = before + change.unsqueeze(2) * self.weight
        return -change * self.visible_bias - (functional.softplus(after) - functional.softplus(before)).sum(2)

    @property
    def resamples(self) -> bool:
        """True: of real numbers, too."""
        return True

    @torch.no_grad()
    @in_float32
    def resampled(self, x: Tensor, generator: Generator, between: Between | None = None) -> Tensor:
        """Block Gibbs: all hidden units given the visible ones, then all visible ones given those.

        Under `between` hidden units are on with sigmoid(beta * inputs), and visible ones with
        sigmoid(beta (b + W h) + slope); real ones have the precision beta / s^2 + curvature, and that times their mean
        is beta (b + s W h) / s^2 + slope.
        """
        at = Between(1.0, none := x.new_zeros(self.visible), none) if between is None else between
        hidden = _drawn(at.beta * self._inputs(x.float()), generator)
        pulled = hidden @ self.weight.T
        if self.binary:
            return _drawn(at.beta * (pulled + self.visible_bias) + at.slope, generator)
        precision = at.beta / self.deviation**2 + at.curvature
        mean = (at.beta * (self.visible_bias + self.deviation * pulled) / self.deviation**2 + at.slope) / precision
        noise = torch.randn(mean.shape, generator=generator, device=generator.device).to(mean.device)
        return mean + noise / precision.sqrt()

    @in_float32
    def tempered(self, x: Tensor, beta: float) -> Tensor:
        """(B, D) -> (B,): beta times the joint energy, the hidden units being summed out after that.

        Salakhutdinov & Murray 2008, "On the Quantitative Analysis of Deep Belief Networks" (ICML), equation 16. It is
        not beta * E, and block Gibbs sampling leaves it as it is.
        """
        x = x.float()
        return beta * self._own(x) - functional.softplus(beta * self._inputs(x)).sum(1)

    @property
    def summed(self) -> str:
        """The states of the hidden units, where they are few enough."""
        return f"a sum over the states of {self.dim} hidden units" if self.dim <= MOST else ""

    @in_float32
    def log_partition(self) -> Tensor | None:
        """By the states of the hidden units, for each of which the visible ones are summed, or integrated, exactly."""
        if self.dim > MOST:
            return None
        total = log_sum(self.dim, self._summed, self.weight.device)
        if self.log_deviation is None:
            return total
        return total + self.visible * (self.log_deviation + math.log(2 * math.pi) / 2)

    def _summed(self, hidden: Tensor) -> Tensor:
        """(S, H) -> (S,): log of exp(-E(v, h)) summed over v; integrated, and without (2 pi s^2)^(D/2), for real v."""
        pulled, own = hidden @ self.weight.T, hidden @ self.hidden_bias
        if self.binary:
            return own + functional.softplus(self.visible_bias + pulled).sum(1)
        return own + pulled @ self.visible_bias / self.deviation + pulled.square().sum(1) / 2

    def _own(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,): what of the energy is of visible units alone."""
        if self.binary:
            return -(x @ self.visible_bias)
        return (x - self.visible_bias).square().sum(1) / (2 * self.deviation**2)

    def _inputs(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, H): what a hidden unit is turned on by."""
        return x @ self.weight / self.deviation + self.hidden_bias


def _drawn(logits: Tensor, generator: Generator) -> Tensor:
    """0 or 1 each, 1 with the probability sigmoid(logit)."""
    draws = torch.rand(logits.shape, generator=generator, device=generator.device).to(logits.device)
    return (draws < torch.sigmoid(logits)).float()


FROM_DATA = ("visible", "binary")
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = RBM
