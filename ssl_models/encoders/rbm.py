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
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.encoders.states import MOST, states

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

    def flips(self, x: Tensor) -> Tensor:
        """As EnergyEncoder.flips, (B, D, H) at once: a flip adds or takes away one row of W."""
        change = 1 - 2 * x
        before = self._inputs(x).unsqueeze(1)
        after = before + change.unsqueeze(2) * self.weight
        return -change * self.visible_bias - (functional.softplus(after) - functional.softplus(before)).sum(2)

    @torch.no_grad()
    def resampled(self, x: Tensor, generator: Generator) -> Tensor:
        """Block Gibbs: all hidden units given the visible ones, then all visible ones given those."""
        at = torch.sigmoid(self._inputs(x.float()))
        hidden = (_uniform(at.shape, generator, x.device) < at).float()
        pulled = hidden @ self.weight.T
        if not self.binary:
            noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
            return self.visible_bias + self.deviation * (pulled + noise)
        on = torch.sigmoid(pulled + self.visible_bias)
        return (_uniform(on.shape, generator, x.device) < on).float()

    def log_partition(self) -> Tensor | None:
        """By the states of the hidden units, for each of which the visible ones are summed, or integrated, exactly."""
        if self.dim > MOST:
            return None
        parts = []
        for hidden in states(self.dim, self.weight.device):
            pulled, own = hidden @ self.weight.T, hidden @ self.hidden_bias
            if self.binary:
                summed = functional.softplus(self.visible_bias + pulled).sum(1)
            else:
                summed = pulled @ self.visible_bias / self.deviation + pulled.square().sum(1) / 2
            parts.append((own + summed).logsumexp(0))
        total = torch.stack(parts).logsumexp(0)
        return (
            total
            if self.log_deviation is None
            else total + self.visible * (self.log_deviation + math.log(2 * math.pi) / 2)
        )

    def _own(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,): what of the energy is of visible units alone."""
        if self.binary:
            return -(x @ self.visible_bias)
        return (x - self.visible_bias).square().sum(1) / (2 * self.deviation**2)

    def _inputs(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, H): what a hidden unit is turned on by."""
        return x @ self.weight / self.deviation + self.hidden_bias


def _uniform(shape: torch.Size, generator: Generator, device: torch.device) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


FROM_DATA = ("visible", "binary")
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = RBM
