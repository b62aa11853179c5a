"""The contract of an encoder: a vector for a sample, and the layers on the way to it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """Maps samples (B, ...) to representations (B, dim). Images are floats in [0, 1]; the encoder standardises them."""

    dim: int

    @abstractmethod
    def layers(self, inputs: Tensor) -> dict[str, Tensor]:
        """(B, ...) -> the activations of each named layer, from first to last; images: (B, channels, H', W')."""

    @abstractmethod
    def pool(self, last: Tensor) -> Tensor:
        """The last layer's activations -> (B, dim)."""

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, ...) -> (B, dim): the last layer, pooled."""
        layers = self.layers(inputs)
        return self.pool(layers[next(reversed(layers))])
