"""The base of methods that compare the vectors of two or more augmented views of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_picture
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.multi_crop import MultiCrop


class JointEmbedding(Method):
    """Two views of each picture, and small ones where the method has them. A subclass states the loss.

    views: of which the first is made; its size becomes that of the pictures. solarise, small_crops,
    smallest_small_crop: see `MultiCrop.of`. Raises ValueError for samples that are no pictures, and for an encoder that
    cannot take the small views.
    """

    family = "contrastive"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        views: Augmentation,
        *,
        solarise: float = 0.0,
        small_crops: int = 0,
        smallest_small_crop: float = 0.1,
    ) -> None:
        super().__init__(encoder)
        channels, *size = require_picture(data.shape, type(self).__module__.rpartition(".")[2])
        self.multi_crop = MultiCrop.of(
            replace(views, size=tuple(size)),
            solarise=solarise,
            small_crops=small_crops,
            smallest_small_crop=smallest_small_crop,
        )
        if small_crops and (small := self.multi_crop.small.size):
            require_input(encoder, (channels, *small), "small views")

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> two views of the same shape, and the small ones (n * B, C, h, w) if there are any."""
        return self.multi_crop(inputs(images), generator)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return self.multi_crop.layout


def mean_terms(found: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The terms of the loss for each of several pairs of views, all of the same names -> their means."""
    return {name: torch.stack([terms[name] for terms in found]).mean() for name in found[0]}
