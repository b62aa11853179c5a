"""A small network that gives an energy, of vectors of real numbers or of 0 and 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.encoders.energy import EnergyEncoder


class EnergyNet(EnergyEncoder):
    """E(x) = f(x), and for real numbers |x|^2 / 2 beside it: far from the data they are Gaussian, so that Z is finite.

    f has `depth` layers of `width` units with SiLU, whose second derivatives score matching needs, and one linear
    output without bias, as a constant means nothing. It grows no faster than linearly. Units of 0 and 1 are given to
    it as -1 and 1. The layers are hidden1, hidden2, ...; the last is the representation.

    visible, binary: from the data. width: Default 64. depth: Default 2.
    """

    name = "energy_net"

    def __init__(self, *, visible: int, binary: bool = False, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        require_positive(visible=visible, width=width, depth=depth)
        self.visible, self.binary, self.dim = visible, binary, width
        self.settings = {"visible": visible, "binary": binary, "width": width, "depth": depth}
        widths = (visible, *(width for _ in range(depth)))
        layers = [nn.Linear(before, width) for before in widths[:-1]]
        self.hidden = nn.ModuleList(layers)
        self.output = nn.Linear(width, 1, bias=False)
        for layer in layers:
            nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.in_features))
            nn.init.uniform_(layer.bias, -1, 1)  # places where units turn on, spread over the data

    def standardise(self, *inputs: Tensor) -> Tensor:
        """(B, D): real numbers as they are, 0 and 1 as -1 and 1."""
        return 2 * inputs[0] - 1 if self.binary else inputs[0]

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """hidden1, hidden2, ...: (B, D or width) -> (B, width)."""
        return {f"hidden{number}": partial(_turned_on, layer) for number, layer in enumerate(self.hidden, start=1)}

    def pool(self, last: Tensor) -> Tensor:
        """(B, width), as it is."""
        return last

    def energy_of(self, x: Tensor) -> Tensor:
        """(B, D) -> (B,)."""
        hidden = self.standardise(x)
        for block in self.blocks().values():
            hidden = block(hidden)
        found: Tensor = self.output(hidden)[:, 0]
        return found if self.binary else found + x.square().sum(1) / 2


def _turned_on(layer: nn.Module, x: Tensor) -> Tensor:
    return functional.silu(layer(x))


FROM_DATA = ("visible", "binary")
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = EnergyNet
