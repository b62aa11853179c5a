"""The contract of an encoder that gives an energy: low where samples are likely, p(x) = exp(-E(x)) / Z.

LeCun et al. 2006, "A Tutorial on Energy-Based Learning". Z is no part of an encoder: ssl_models/partition.py computes
it where it can be.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Generator, Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply
from ssl_models.modalities import vectors

if TYPE_CHECKING:
    from ssl_models.data import DataSpec


class EnergyEncoder(Encoder):
    """Maps vectors (B, D) to an energy each, and to hidden units, which are its representation.

    D: `visible` numbers of a vector. They are 0 or 1 where `binary`, any real numbers otherwise. Energies are computed
    in float32 whatever autocast says, since their differences are what is learnt from.
    """

    modalities = (vectors,)
    visible: int
    binary: bool

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """With as many visible units as the vectors have numbers, of the kind that the data are of."""
        (part,) = cls.reads(data.shapes)
        known = {"visible": data.shapes[part][0], "binary": bool(data.known.get("binary", False))}
        return cls(**known | settings)

    def energy(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,) float32, in nats."""
        with torch.autocast(x.device.type, enabled=False):
            return self.energy_of(x.float())

    @abstractmethod
    def energy_of(self, x: Tensor) -> Tensor:
        """(B, D) float32 -> (B,), as `energy`, which calls it without autocast."""

    def flips(self, x: Tensor) -> Tensor:
        """(B, D) of 0 and 1 -> (B, D): by how much the energy changes if one number is flipped, E(x_flipped) - E(x)."""
        count, width = x.shape
        turned = x.unsqueeze(1).repeat(1, width, 1)
        place = torch.arange(width, device=x.device)
        turned[:, place, place] = 1 - turned[:, place, place]
        return self.energy(turned.flatten(0, 1)).view(count, width) - self.energy(x).unsqueeze(1)

    @property
    def has_gibbs(self) -> bool:
        """Whether `resampled` can be used."""
        return self.binary or type(self).resampled is not EnergyEncoder.resampled

    def resampled(self, x: Tensor, generator: Generator) -> Tensor:
        """(B, D) -> (B, D): one step of Gibbs sampling of all numbers, which leaves exp(-E) / Z as it is.

        Without gradients. Raises DoesNotApply for real numbers, unless their conditional distributions are known.
        """
        if not self.has_gibbs:
            raise DoesNotApply(f"the encoder '{self.name}' has no Gibbs sampler of real numbers; use Langevin's")
        return self._swept(x, generator)

    @torch.no_grad()
    def _swept(self, x: Tensor, generator: Generator) -> Tensor:
        """Each number in turn, in one random order for all rows, is drawn given the others."""
        x = x.clone()
        order = torch.randperm(self.visible, generator=generator, device=generator.device).tolist()
        draws = torch.rand(self.visible, len(x), generator=generator, device=generator.device).to(x.device)
        for turn, place in enumerate(order):
            both = x.repeat(2, 1)
            both[: len(x), place], both[len(x) :, place] = 0, 1
            zero, one = self.energy(both).chunk(2)
            x[:, place] = (draws[turn] < torch.sigmoid(zero - one)).float()
        return x

    def log_partition(self) -> Tensor | None:
        """log Z (), exact and with gradients, where this encoder has a way of its own; None where it has none."""
        return None


def require_binary(encoder: EnergyEncoder, what: str) -> None:
    """Raises DoesNotApply for an encoder of real numbers."""
    if not encoder.binary:
        raise DoesNotApply(f"{what} is for vectors of 0 and 1, and these are of real numbers")


def require_real(encoder: EnergyEncoder, what: str) -> None:
    """Raises DoesNotApply for an encoder of 0 and 1."""
    if encoder.binary:
        raise DoesNotApply(f"{what} is for vectors of real numbers, and these are of 0 and 1")


def with_energy(encoder: Encoder, what: str) -> EnergyEncoder:
    """The encoder. Raises DoesNotApply for one that gives no energy; what: who needs it, for the error."""
    if not isinstance(encoder, EnergyEncoder):
        raise DoesNotApply(f"{what} needs an energy, and the encoder '{encoder.name}' gives none")
    return encoder
