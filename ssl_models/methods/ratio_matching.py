"""Ratio matching: how likely is a vector beside those that differ from it in one number? (Hyvarinen 2007)"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, require_binary, with_energy
from ssl_models.losses.energy import ratio_matching
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs


class RatioMatching(Method):
    """The loss of Hyvarinen 2007, which Z cancels out of, with all single flips. Chance, at equal energies, is D / 4.

    Energy is pushed up at all neighbours of a sample, by more where they are as likely as it. There are no
    hyper-parameters. Raises DoesNotApply for an encoder without an energy, and for real numbers.
    """

    family = "energy"
    reference = "Hyvarinen 2007, Computational Statistics & Data Analysis 51, 2499-2512"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    def __init__(self, encoder: Encoder, data: DataSpec) -> None:  # noqa: ARG002
        own = with_energy(encoder, "ratio_matching")
        require_binary(own, "ratio_matching")
        super().__init__(own)
        self.chance = own.visible / 4

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) of 0 and 1, as it is."""
        vectors, _ = parts_and_generator
        return (inputs(vectors),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """See `losses.energy.ratio_matching`."""
        return {"loss": ratio_matching(self.encoder.flips(views[0]))}


METHOD = RatioMatching
