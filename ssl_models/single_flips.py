"""What methods share that ask how the energy of a vector changes where one number of 0 and 1 is flipped."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, require_binary, with_energy
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs


class SingleFlips(Method):
    """A loss of the energies of all vectors that differ from a sample in one number; there are no hyper-parameters.

    Raises DoesNotApply for an encoder without an energy, and for real numbers.
    """

    family = "energy"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    name: ClassVar[str]
    """The file of ssl_models/methods that offers it."""

    even: ClassVar[float]
    """The loss, for each number of a vector, where all energies are equal: what chance is."""

    def __init__(self, encoder: Encoder, data: DataSpec) -> None:  # noqa: ARG002
        own = with_energy(encoder, self.name)
        require_binary(own, self.name)
        super().__init__(own)
        self.chance = self.even * own.visible

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) of 0 and 1, as it is."""
        vectors, _ = parts_and_generator
        return (inputs(vectors),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """See `objective`."""
        return {"loss": self.objective(self.encoder.flips(views[0]))}

    @staticmethod
    @abstractmethod
    def objective(flips: Tensor) -> Tensor:
        """(B, D) E(x_flipped) - E(x) -> ()."""
