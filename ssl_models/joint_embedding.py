"""The base of methods that compare the vectors of two or more augmented views of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.views.multi_crop import MultiCrop


class JointEmbedding(Method):
    """Two views of each picture, and small ones where the method has them. A subclass states the loss."""

    family = "contrastive"
    crops = by_rows = True

    def __init__(self, encoder: Encoder, multi_crop: MultiCrop) -> None:
        super().__init__(encoder)
        self.multi_crop = multi_crop

    def require_small_views(self, channels: int) -> None:
        """Raises ValueError for an encoder that cannot take pictures of the size of the small views."""
        size = self.multi_crop.small.size
        if self.multi_crop.count and size is not None:
            require_input(self.encoder, (channels, *size), "small views")

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> two views of the same shape, and the small ones (n * B, C, h, w) if there are any."""
        return self.multi_crop(inputs(images), generator)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return self.multi_crop.layout


def mean_terms(found: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The terms of the loss for each of several pairs of views, all of the same names -> their means."""
    return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}
