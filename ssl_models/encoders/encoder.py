"""The contract of an encoder: the representation of a sample, and the layers that lead to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Maps samples (B, ...) to representations (B, dim). Images are floats in [0, 1]; the encoder standardises them."""

    name: ClassVar[str]
    """The file of ssl_models/encoders that offers it."""

    convolutional: ClassVar[bool] = False
    """Whether it computes faster with its weights and maps in memory as (B, H, W, C), see `hardware.place`."""

    dim: int
    settings: dict[str, Any]
    """With `build_encoder(name, **settings)` an encoder of the same shape is made."""

    @abstractmethod
    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, ...) in the range of the data -> the input of the first block."""

    @abstractmethod
    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Layer name -> the function from the activations of the layer before to its own, from first to last."""

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
