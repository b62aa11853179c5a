"""RotNet: by how many quarter turns was the picture rotated? (Gidaris et al. 2018, arXiv:1803.07728)

A batch holds all four rotations of each picture, which the paper found better than one rotation drawn at random
(section 3.1). A quarter turn needs no interpolation, so it leaves no artefact that tells the rotation. A horizon, or
light that comes from above, tells it too: the network can use them without recognising an object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_picture
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.views.geometric import four_rotations, require_square


class Rotation(Method):
    """A linear classifier of the four turns. Chance is log 4.

    The paper trains with SGD, Nesterov momentum 0.9, weight decay 5e-4 and a learning rate of 0.1 for a batch of 256,
    which is divided at epochs 30, 60 and 90 of 105.

    smallest_crop, flip: of the picture, before it is turned; see MildViews.
    """

    family = "predictive"
    reference = "Gidaris et al. 2018, arXiv:1803.07728"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
    ) -> None:
        super().__init__(encoder)
        require_square(require_picture(data.shape, "rotation"), "rotation")
        self.mild_views = MildViews(smallest_crop, flip, data.shape[1:])
        self.head = nn.Linear(encoder.dim, 4)
        self.chance = math.log(4)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, S, S) uint8 -> (4 B, C, S, S): the batch at 0, 90, 180 and 270 degrees, one after another."""
        upright = self.mild_views(images, generator)
        return (four_rotations(upright),)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return (4,)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the turns, and the accuracy (only logged)."""
        logits = self.head(self.encoder(views[0]))  # (4 B, 4)
        turns = torch.arange(4, device=logits.device).repeat_interleave(len(index))
        accuracy = (logits.detach().argmax(1) == turns).float().mean()
        return {"loss": functional.cross_entropy(logits, turns), "accuracy": accuracy}


METHOD = Rotation
