"""The untrained control: an encoder saved as it was initialised.

A random convolutional network is a strong baseline in its early layers, so every table shows it.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.method import Method


class Random(Method):
    """No views and no loss: the trainer saves the encoder as it is, because `trains` is False."""

    family = "control"
    reference = ""
    parts: tuple[str, ...] = ()  # whatever the encoder reads
    trains = False

    def __init__(self, encoder: Encoder, data: DataSpec) -> None:
        super().__init__(encoder)
        self.parts = encoder.reads(data.shapes)

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Raises RuntimeError: there is nothing to train."""
        raise RuntimeError("the method 'random' is not trained and has no views; look at `trains` before training")

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Raises RuntimeError: there is nothing to train."""
        raise RuntimeError("the method 'random' is not trained and has no loss; look at `trains` before training")


METHOD = Random
