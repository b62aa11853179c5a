"""Weights from elsewhere: a network that others have trained, measured and refitted as if it had been trained here.

ClusterFit (Yan et al. 2020, arXiv:1912.03330) starts from any pretrained network: its clusters need features alone.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.method import Method
from ssl_models.weights.published import DEFAULT


class Pretrained(Method):
    """No views and no loss. `ssl_models.weights.load` gives the encoder the weights that it names.

    Nobody can say here what such weights have seen. They may have learnt from labels, or from the very test pictures.

    weights: "DEFAULT", or another name under which the encoder's library (torchvision, timm) publishes weights; or a
        file of weights, or the folder of a trained encoder. Default "DEFAULT". Own.
    """

    family = "pretrained"
    reference = ""
    parts: tuple[str, ...] = ()  # whatever the encoder reads
    trains = False

    def __init__(self, encoder: Encoder, data: DataSpec, *, weights: str = DEFAULT) -> None:
        super().__init__(encoder)
        self.parts = encoder.reads(data.shapes)
        self.starts_from = weights

    def views(self, *parts_and_generator: Any) -> tuple[Tensor, ...]:  # noqa: ARG002
        """Raises RuntimeError: there is nothing to train."""
        raise RuntimeError("the method 'pretrained' is not trained and has no views; look at `trains` before training")

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Raises RuntimeError: there is nothing to train."""
        raise RuntimeError("the method 'pretrained' is not trained and has no loss; look at `trains` before training")


METHOD = Pretrained
