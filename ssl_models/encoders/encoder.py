"""The contract of an encoder: a vector for a sample, and the layers on the way to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Maps samples (B, ...) to representations (B, dim). Images are floats in [0, 1]; the encoder standardises them."""

    name: ClassVar[str]
    """The file of ssl_models/encoders that offers it."""

    dim: int
    settings: dict[str, Any]
    """With `build_encoder(name, **settings)` an encoder of the same shape is made."""

    @abstractmethod
    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, ...) as the data have them -> what the first block takes."""

    @abstractmethod
    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Layer name -> what makes its activations from those of the layer before, from first to last."""

    def layers(self, inputs: Tensor) -> dict[str, Tensor]:
        """(B, ...) -> the activations of each named layer, from first to last; images: (B, channels, H', W')."""
        hidden, found = self.standardise(inputs), {}
        for layer, block in self.blocks().items():
            hidden = found[layer] = block(hidden)
        return found

    @abstractmethod
    def pool(self, last: Tensor) -> Tensor:
        """The last layer's activations -> (B, dim)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, ...) -> (B, dim): the last layer, pooled."""
        layers = self.layers(inputs)
        return self.pool(layers[next(reversed(layers))])
