"""Encoders whose energy is the true one of tests/ssl_models/densities.py, or the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ssl_models.encoders.energy import EnergyEncoder
from tests.ssl_models import densities


class Given(EnergyEncoder):
    """An energy that is a function of the vector, with a layer that is the vector."""

    name = "given"

    def __init__(self, function: Callable[[Tensor], Tensor], visible: int, binary: bool) -> None:
        super().__init__()
        self.function, self.visible, self.binary, self.dim = function, visible, binary, visible
        self.settings = {}
        self.scale = nn.Parameter(torch.ones(()))

    def standardise(self, *inputs: Tensor) -> Tensor:
        return inputs[0]

    def blocks(self) -> dict[str, Any]:
        return {"vector": lambda x: x * self.scale}

    def pool(self, last: Tensor) -> Tensor:
        return last

    def energy_of(self, x: Tensor) -> Tensor:
        return self.function(x) * self.scale


def constant(kind: str, height: float = 0.0) -> EnergyEncoder:
    """The same energy everywhere."""
    visible = densities.UNITS if kind == "binary" else 2
    return Given(lambda x: 0 * x.sum(1) + height, visible, kind == "binary")


def truth(kind: str, height: float = 0.0) -> EnergyEncoder:
    """The energy of the distribution that the samples are drawn from, and a constant."""
    if kind == "binary":
        ring = densities.ring()
        return Given(lambda x: ring.energy(x) + height, densities.UNITS, True)
    return Given(lambda x: height - densities.mixture_log_density(x), 2, False)
