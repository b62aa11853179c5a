"""Minimum probability flow: how fast would probability flow away from the samples? (Sohl-Dickstein et al. 2011)"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, require_binary, with_energy
from ssl_models.losses.energy import probability_flow
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs


class MinimumProbabilityFlow(Method):
    """The flow from samples to all that differ from them in one number. Chance, at equal energies, is D.

    Energy is pushed up at those neighbours of a sample whose energy is below its own, exponentially by how much. There
    are no hyper-parameters. Raises DoesNotApply for an encoder without an energy, and for real numbers.
    """

    family = "energy"
    reference = "Sohl-Dickstein, Battaglino & DeWeese 2011, arXiv:0906.4779"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    def __init__(self, encoder: Encoder, data: DataSpec) -> None:  # noqa: ARG002
        own = with_energy(encoder, "minimum_probability_flow")
        require_binary(own, "minimum_probability_flow")
        super().__init__(own)
        self.chance = float(own.visible)

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) of 0 and 1, as it is."""
        vectors, _ = parts_and_generator
        return (inputs(vectors),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """See `losses.energy.probability_flow`."""
        return {"loss": probability_flow(self.encoder.flips(views[0]))}


METHOD = MinimumProbabilityFlow
