"""Contrastive pairs: views of one picture are pulled together, views of two pictures pushed apart up to a margin.

Hadsell, Chopra & LeCun 2006, "Dimensionality reduction by learning an invariant mapping" (CVPR). Both pictures of a
pair go through one network. With attraction alone, the network could map everything to one point. So dissimilar pairs
repel each other as long as they are closer than the margin.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import mlp
from ssl_models.losses.metric import cosine_energy, euclidean_distance, margin_loss, margin_loss_chance
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation

ENERGIES = {"cosine": (cosine_energy, 1.0), "euclidean": (euclidean_distance, 10.0)}
"""Energy -> function of the distance of two embeddings, and the margin where none is given."""


class ContrastivePairs(Method):
    """Eq. 4 of the paper over all pairs of a batch's 2B views: mean over similar plus mean over dissimilar pairs.

    Chance is margin^2 / 4: the least loss where distances do not depend on which pairs are similar, reached with all
    distances at margin / 2. A network that maps everything to one point has the loss margin^2 / 2. With the nearest
    negatives alone, a network that has learned much can have a larger loss than that, so there `chance` is None. In the
    paper pairs are given (neighbours in a list, or in pose) instead of augmented views. Its networks have 2 or 3
    outputs, which are the representation, and no head.

    energy: how distances are measured. Default "cosine": 1 - cosine, in [0, 2]. "euclidean" can be lowered by short or
        long vectors, whatever the pictures, see `cosine_energy`. Paper "euclidean".
    margin: distance from which on dissimilar pairs are left alone. Default None: 1 (a right angle) for "cosine", 10 for
        "euclidean". The latter must be larger than the distances of an untrained head, about 4; otherwise there is only
        attraction at first, and the network collapsed to chance. The loss of "cosine" is small (chance 1/4), and so are
        its gradients: AdamW is not affected, but SGD learned little in 200 steps with a learning rate of 0.1, and much
        more with 1.
    negatives: how many dissimilar pairs count for each view, the nearest first; 0 for all 2B - 2. Default 0.
    hidden: width of the head's hidden layer; the head is that of SimCLR. Default 256. Own.
    projection: outputs of the head. Default 64. Paper 2 or 3.
    smallest_crop, flip, strength, hue, grey, invert, gamma: of the views, see Augmentation.
    """

    family = "contrastive"
    reference = "Hadsell, Chopra & LeCun 2006, CVPR"
    crops = by_rows = True

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
        smallest_crop: float = Augmentation.smallest_crop,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "contrastive_pairs")
        require_choice("energy", energy, tuple(ENERGIES))
        self.distance, usual_margin = ENERGIES[energy]
        self.margin = usual_margin if margin is None else margin
        require_positive(margin=self.margin, hidden=hidden, projection=projection)
        if energy == "cosine" and self.margin > 2:
            raise ValueError(f"margin is {margin}; a cosine energy is at most 2, so it must not be larger")
        most = 2 * data.samples - 2
        if not 0 <= negatives <= most:
            raise ValueError(f"negatives is {negatives}; {data.samples} samples allow 1 to {most}, or 0 for all")
        self.negatives = negatives
        self.augment = Augmentation(
            smallest_crop, flip, strength, hue, grey, invert=invert, gamma=gamma, size=data.shape[1:]
        )
        self.head = mlp(encoder.dim, hidden, projection)
        self.chance = None if negatives else margin_loss_chance(self.margin)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> two views of the same shape."""
        pictures = inputs(images)
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
