"""The fully visible Boltzmann machine, or Ising model: every pair of units has a coupling (Ackley et al. 1985)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_positive
from ssl_models.encoders.energy import Between, EnergyEncoder, in_float32, turns
from ssl_models.errors import DoesNotApply


class Boltzmann(EnergyEncoder):
    """E(x) = -sum_{i<j} J_ij s_i s_j - sum_i h_i s_i, with s = 2 x - 1 in {-1, +1}, x of 0 and 1.

    The layer `units` holds P(x_i = 1 | the others), and is the representation. All parameters start at 0, where every
    state has the same probability.

    visible: D, from the data. binary: from the data, and True. Raises DoesNotApply for real numbers.
    """

    name = "boltzmann"

    def __init__(self, *, visible: int, binary: bool = True) -> None:
        super().__init__()
        require_positive(visible=visible)
        if not binary:
            raise DoesNotApply("the encoder 'boltzmann' is for vectors of 0 and 1, and these are of real numbers")
        self.visible, self.binary, self.dim = visible, True, visible
        self.settings = {"visible": visible, "binary": True}
        self.upper = nn.Parameter(torch.zeros(visible * (visible - 1) // 2))
        self.fields = nn.Parameter(torch.zeros(visible))

    @property
    def couplings(self) -> Tensor:
        """J (D, D): symmetric, with zeros on its diagonal. `upper` holds those with i < j, row by row."""
        rows, columns = torch.triu_indices(self.visible, self.visible, 1, device=self.upper.device)
        half = self.upper.new_zeros(self.visible, self.visible).index_put((rows, columns), self.upper)
        return half + half.T

    def standardise(self, *inputs: Tensor) -> Tensor:
        """(B, D) of 0 and 1 -> of -1 and 1."""
        return 2 * inputs[0] - 1

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """units: (B, D) -> (B, D), probabilities."""
        return {"units": lambda spins: torch.sigmoid(2 * self._pulls(spins))}

    def pool(self, last: Tensor) -> Tensor:
        """(B, D), as it is."""
        return last

    def energy_of(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,)."""
        spins = self.standardise(x)
        return -(spins @ self.couplings * spins).sum(1) / 2 - spins @ self.fields

    def flips_of(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D): 2 s_i (h_i + sum_j J_ij s_j)."""
        spins = self.standardise(x)
        return 2 * spins * self._pulls(spins)

    @torch.no_grad()
    @in_float32
    def resampled(self, x: Tensor, generator: Generator, between: Between | None = None) -> Tensor:
        """As EnergyEncoder.resampled, D products for a number: P(x_i = 1 | others) = sigmoid(2 (h_i + sum_j J_ij s_j)).

        Under `between`, sigmoid(2 beta (...) + slope_i).
        """
        beta, slope = (1.0, self.fields.new_zeros(self.visible)) if between is None else (between.beta, between.slope)
        pulls, own = 2 * beta * self.couplings, 2 * beta * self.fields + slope
        spins = self.standardise(x.float()).T.contiguous()
        for place, bars in turns(x, generator):
            spins[place] = torch.where(bars < pulls[place] @ spins + own[place], 1.0, -1.0)
        return ((spins + 1) / 2).T.contiguous()

    def _pulls(self, spins: Tensor) -> Tensor:
        return spins @ self.couplings + self.fields


FROM_DATA = ("visible", "binary")
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = Boltzmann
