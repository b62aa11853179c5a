"""RotNet: by how many quarters was the picture turned? (Gidaris et al. 2018, arXiv:1803.07728)

All four rotations of each picture are in one batch, which the paper found better than one drawn at random
(section 3.1). A quarter turn leaves no trace of interpolation to cheat with. What it can cheat with is anything that
tells up from down without an object: a horizon, light from above.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_picture, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.method import DataSpec, Method
from ssl_models.views.geometric import as_float, four_rotations, random_crop_flip, require_square


class Rotation(Method):
    """A linear classifier of four turns. Chance is log 4.

    The paper trains with SGD, momentum 0.9 with Nesterov, weight decay 5e-4, learning rate 0.1 a 256, divided at 30, 60
    and 90 of 105 epochs.
    smallest_crop: least area of the random crop made before the turn, 1 for none. flip: probability of a flip.
    """

    family = "predictive"
    reference = "Gidaris et al. 2018, arXiv:1803.07728"

    def __init__(self, encoder: Encoder, data: DataSpec, *, smallest_crop: float = 0.5, flip: float = 0.5) -> None:
        super().__init__(encoder)
        require_square(require_picture(data.shape, "rotation"), "rotation")
        require_fraction(smallest_crop=smallest_crop, flip=flip)
        require_positive(smallest_crop=smallest_crop)
        self.smallest_crop, self.flip = smallest_crop, flip
        self.head = nn.Linear(encoder.dim, 4)
        self.chance = math.log(4)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, S, S) uint8 -> (4 B, C, S, S): the batch at 0, 90, 180 and 270 degrees, one after another."""
        upright = random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip)
        return (four_rotations(upright),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the turns, and the accuracy (only logged)."""
        logits = self.head(self.encoder(views[0]))  # (4 B, 4)
        turns = torch.arange(4, device=logits.device).repeat_interleave(len(index))
        accuracy = (logits.detach().argmax(1) == turns).float().mean()
        return {"loss": functional.cross_entropy(logits, turns), "accuracy": accuracy}


METHOD = Rotation
