"""Contrastive pairs: views of one picture are pulled together, views of two pictures pushed apart up to a margin.

Hadsell, Chopra & LeCun 2006, "Dimensionality reduction by learning an invariant mapping" (CVPR). Both pictures of a
pair go through one network (a "siamese" one). Pulling alone would be content with a network that maps everything to
one point, so dissimilar pairs are pushed; the margin says when they are far enough apart to be left alone.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_picture, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import projection_mlp
from ssl_models.losses.metric import cosine_energy, euclidean_distance, margin_loss, margin_loss_chance
from ssl_models.method import DataSpec, Method
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import as_float

ENERGIES = {"cosine": (cosine_energy, 1.0), "euclidean": (euclidean_distance, 10.0)}
"""How the distance of two embeddings is measured, and the margin where none is given."""


class ContrastivePairs(Method):
    """Eq. 4 of the paper over all pairs of a batch's 2B views: the mean over similar plus that over dissimilar pairs.

    Chance is margin^2 / 4, the least that a network pays whose distances do not depend on which pairs are similar: all
    of them margin / 2. One that maps all to one point pays margin^2 / 2. Among the hardest negatives alone, a network
    that knows much can pay more than that, so there `chance` is None.

    The paper: Euclidean distance, given pairs (neighbours in a list, or in pose) instead of augmented views, and
    networks with 2 or 3 outputs, which are the representation: no head.
    energy: "cosine", 1 - cosine in [0, 2], or "euclidean". With the latter a network can lower its loss by making
    vectors short or long, which tells nothing about the pictures, see `cosine_energy`.
    margin: None for 1 (a right angle) with cosine, and 10 with Euclidean distance. The latter must be over the
    distances that an untrained head makes, about 4: with less there is only pull at first, and the network shrank to
    chance and stayed there. The cosine's loss is small (chance 1/4), and so are its gradients: AdamW does not mind, but
    SGD learned little in 200 steps with a learning rate of 0.1, and much more with 1.
    negatives: how many dissimilar pairs count for each view, the nearest; 0, or more than there are, for all 2B - 2.
    hidden, projection: widths of the head, which is SimCLR's. smallest_crop: least area of the crop. flip: probability.
    strength, hue, grey: of the colour jitter.
    """

    family = "contrastive"
    reference = "Hadsell, Chopra & LeCun 2006, CVPR"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        energy: str = "cosine",
        margin: float | None = None,
        negatives: int = 0,
        hidden: int = 256,
        projection: int = 64,
        smallest_crop: float = 0.2,
        flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        grey: float = 0.2,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "contrastive_pairs")
        require_choice("energy", energy, tuple(ENERGIES))
        self.distance, usual_margin = ENERGIES[energy]
        self.margin = usual_margin if margin is None else margin
        require_positive(margin=self.margin, hidden=hidden, projection=projection)
        if energy == "cosine" and self.margin > 2:
            raise ValueError(f"margin is {margin}; a cosine energy goes up to 2, and no pair is further apart")
        most = 2 * data.samples - 2
        if not 0 <= negatives <= most:
            raise ValueError(f"negatives is {negatives}; {data.samples} samples allow 1 to {most}, or 0 for all")
        self.negatives = negatives
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey)
        self.head = projection_mlp(encoder.dim, hidden, projection)
        self.chance = None if negatives else margin_loss_chance(self.margin)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> two views of the same shape."""
        pictures = as_float(images)
        return self.augment(pictures, generator), self.augment(pictures, generator)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The halves of eq. 4, and how often the other view is the nearest of 2B - 1 (only logged)."""
        similar, dissimilar = self.pairs(self.head(self.encoder(torch.cat(views))))
        pull, push = margin_loss(similar, dissimilar, self.margin)
        nearest = similar < dissimilar.amin(1)
        return {"similar": pull.mean(), "dissimilar": push.mean(), "accuracy": nearest.float().mean()}

    def pairs(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """(2B, D) of both views -> each one's distance to its other view (2B,) and to its negatives (2B, N), the
        nearest first where not all are taken."""
        count, device = len(embeddings), embeddings.device
        distances = self.distance(embeddings, embeddings)  # (2B, 2B)
        itself = torch.arange(count, device=device)[:, None]
        similar = distances.gather(1, (itself + count // 2) % count)[:, 0]
        away = torch.arange(1, count - 1, device=device)
        away = away + (away >= count // 2)  # 1 .. 2B - 1 without B, where the other view is
        dissimilar = distances.gather(1, (itself + away) % count)
        if 0 < self.negatives < count - 2:
            dissimilar = dissimilar.topk(self.negatives, largest=False).values
        return similar, dissimilar


METHOD = ContrastivePairs
