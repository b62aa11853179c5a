"""The contract of an encoder that gives an energy: low where samples are likely, p(x) = exp(-E(x)) / Z.

LeCun et al. 2006, "A Tutorial on Energy-Based Learning". Z is no part of an encoder: ssl_models/partition.py computes
it where it can be.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

import torch
from torch import Generator, Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import DoesNotApply
from ssl_models.modalities import vectors

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

Own = TypeVar("Own", bound="EnergyEncoder")
Given = ParamSpec("Given")
Found = TypeVar("Found")


def in_float32(function: Callable[Concatenate[Own, Given], Found]) -> Callable[Concatenate[Own, Given], Found]:
    """A method of an encoder, computed without autocast: differences of energies are what is learnt from."""

    @wraps(function)
    def run(encoder: Own, /, *args: Given.args, **settings: Given.kwargs) -> Found:
        with torch.autocast(next(encoder.parameters()).device.type, enabled=False):
            return function(encoder, *args, **settings)

    return run


@dataclass(frozen=True)
class Between:
    """A distribution between a simple one and an encoder's: unnormalised exp(-E_beta(x) + slope'x - curvature'x^2 / 2).

    E_beta is `EnergyEncoder.tempered`. slope, curvature: (D,). samplers/annealed.py goes through a row of these.
    """

    beta: float
    slope: Tensor
    curvature: Tensor


class EnergyEncoder(Encoder):
    """Maps vectors (B, D) to an energy each, and to hidden units, which are its representation.

    D: `visible` numbers of a vector. They are 0 or 1 where `binary`, any real numbers otherwise. Energies, and all that
    is computed of them, are in float32 whatever autocast says; the layers are as autocast says.
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

    @in_float32
    def energy(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,) float32, in nats."""
        return self.energy_of(x.float())

    @abstractmethod
    def energy_of(self, x: Tensor) -> Tensor:
        """(B, D) float32 -> (B,), as `energy`, which calls it without autocast."""

    @in_float32
    def flips(self, x: Tensor) -> Tensor:
        """(B, D) of 0 and 1 -> (B, D): by how much the energy changes if one number is flipped, E(x_flipped) - E(x).

        Raises DoesNotApply for an encoder of real numbers.
        """
        require_binary(self, "flipping numbers")
        return self.flips_of(x.float())

    def flips_of(self, x: Tensor) -> Tensor:
        """(B, D) float32 -> (B, D), as `flips`, which calls it without autocast: by the energies of B * D vectors."""
        count, width = x.shape
        turned = x.unsqueeze(1).repeat(1, width, 1)
        place = torch.arange(width, device=x.device)
        turned[:, place, place] = 1 - turned[:, place, place]
        return self.energy_of(turned.flatten(0, 1)).view(count, width) - self.energy_of(x).unsqueeze(1)

    @property
    def resamples(self) -> bool:
        """Whether there is a Gibbs sampler of it, `resampled`."""
        return self.binary

    @torch.no_grad()
    @in_float32
    def resampled(self, x: Tensor, generator: Generator, between: Between | None = None) -> Tensor:
        """(B, D) -> (B, D): one step of Gibbs sampling of all numbers, which leaves exp(-E) / Z as it is.

        Without gradients. Here each number in turn, in one random order for all rows, is drawn given the others, by an
        energy of all rows each. between: another distribution to leave as it is.
        Raises DoesNotApply for real numbers, unless their conditional distributions are known, see `resamples`.
        """
        if not self.resamples:
            raise DoesNotApply(f"the encoder '{self.name}' has no Gibbs sampler of real numbers; use Langevin's")
        x = x.float().clone()
        beta, slope = (1.0, x.new_zeros(self.visible)) if between is None else (between.beta, between.slope)
        before = self.energy_of(x)
        for place, bars in turns(x, generator):
            old = x[:, place].clone()
            x[:, place] = 1 - old
            after = self.energy_of(x)
            turned = bars < beta * (before - after) + (1 - 2 * old) * slope[place]
            x[:, place] = torch.where(turned, 1 - old, old)
            before = torch.where(turned, after, before)
        return x

    def tempered(self, x: Tensor, beta: float) -> Tensor:
        """(B, D) -> (B,): E_beta, which is `energy` at beta = 1, and the same for all x at 0; here beta * E."""
        return beta * self.energy(x)

    @property
    def summed(self) -> str:
        """What `log_partition` sums over, in words; empty where this encoder has no way of its own to log Z."""
        return ""

    def log_partition(self) -> Tensor | None:
        """log Z (), exact and with gradients, where this encoder has a way of its own; None where it has none."""
        return None


def turns(x: Tensor, generator: Generator) -> Iterator[tuple[int, Tensor]]:
    """The columns of x (B, D) in a random order, each with a bar for every row (B,).

    A bar is the logit of a uniform number: that is below a sigmoid(a) where the bar is below a.
    """
    order = torch.randperm(x.shape[1], generator=generator, device=generator.device).tolist()
    draws = torch.rand(x.shape[1], len(x), generator=generator, device=generator.device).to(x.device)
    yield from zip(order, draws.logit(), strict=True)


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
