"""The untrained control: an encoder saved as it was initialised.

A random convolutional network is a strong baseline in its early layers, so every table shows it.
"""

from __future__ import annotations

from torch import Generator, Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.method import DataSpec, Method


class Random(Method):
    """No views and no loss: the trainer saves the encoder as it is, because `trains` is False."""

    family = "control"
    reference = ""
    trains = False

    def __init__(self, encoder: Encoder, data: DataSpec) -> None:  # noqa: ARG002
        super().__init__(encoder)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Raises RuntimeError: there is nothing to train."""
        raise RuntimeError("the method 'random' is not trained and has no views; look at `trains` before training")

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Raises RuntimeError: there is nothing to train."""
        raise RuntimeError("the method 'random' is not trained and has no loss; look at `trains` before training")


METHOD = Random
