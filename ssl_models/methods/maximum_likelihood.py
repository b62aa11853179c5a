"""Maximum likelihood: energy goes down at the data, and up everywhere in proportion to how likely the model holds it.

It takes log Z, and so few units of 0 and 1, or one or two real numbers. Where it can be had, it is what all others are
measured by.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.energy import EnergyEncoder, with_energy
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.partition import Extent, extent_of, grid, log_partition, require_computable
from ssl_models.views import drawing


class MaximumLikelihood(Method):
    """Mean energy of the data plus log Z, in nats: minus the mean log-likelihood of a batch.

    Chance is D log 2 for 0 and 1, and the log of the box's area for real numbers: an even density. Of real numbers log
    Z is a sum over a grid, shifted at random in every step: the sum is then right on average, and no energy can profit
    from falling between the points of a fixed grid. Raises DoesNotApply for an encoder without an energy, and where log
    Z cannot be computed; ValueError for a box with an interval that is empty or not finite.

    points: of the grid each way, for real numbers. Default 48. Own.
    """

    family = "energy"
    reference = "LeCun et al. 2006, A Tutorial on Energy-Based Learning, section 2.2.4"
    parts = ("vectors",)
    by_rows = True
    encoder: EnergyEncoder

    def __init__(self, encoder: Encoder, data: DataSpec, *, points: int = 48) -> None:
        own = with_energy(encoder, "maximum_likelihood")
        super().__init__(own)
        require_positive(points=points)
        self.extent, self.points = extent_of(data.known), points
        require_computable(own, self.extent)
        self.on_grid = not (own.binary or own.summed)
        self.chance = own.visible * math.log(2) if own.binary else _log_area(self.extent)

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:
        """(B, D) -> the vectors as they are; where there is a grid, also the seed (1,) int64 of its shift."""
        vectors, generator = parts_and_generator
        samples = inputs(vectors)
        return (samples, drawing.seed(generator)) if self.on_grid else (samples,)

    def layout(self, views: Any) -> tuple[int, ...]:
        return (1, 0)[: len(views)]

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Minus the mean log-likelihood, in nats."""
        samples, shift = views[0], None
        if self.on_grid:
            generator = drawing.seeded(views[1], samples.device)
            shift = torch.rand(self.encoder.visible, generator=generator, device=samples.device)
        log_z = log_partition(self.encoder, self.extent, self.points, shift)
        return {"loss": self.encoder.energy(samples).mean() + log_z}


def _log_area(extent: Extent | None) -> float | None:
    """Of the box. Raises ValueError, as `grid` does, for an interval that is empty or not finite."""
    return None if extent is None else sum(grid((interval,), 1)[1] for interval in extent)


METHOD = MaximumLikelihood
