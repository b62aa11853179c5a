"""Near and far patches: neighbouring patches of a picture have similar vectors, distant ones do not.

Adjacent places are usually related, and distant ones more often are not. A siamese network that learns which patches
occur side by side learns what belongs together (Isola et al. 2015, arXiv:1511.06811). Danon et al. 2018
(arXiv:1807.03130) learn a metric of patches from the same proximity. The loss is that of contrastive predictive coding
(van den Oord et al. 2018, arXiv:1807.03748).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.heads import mlp
from ssl_models.losses.contrastive import info_nce, info_nce_chance, similarity, unit
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import uniform
from ssl_models.views.geometric import resample
from ssl_models.views.patch_pairs import flip_boxes, near_far_boxes, require_near_far

NEGATIVES = ("image", "batch", "both")
PAIR = 2
PATCHES = 2 * PAIR
"""Patches of a picture: two near pairs, far from each other."""


class NearFarPatches(Method):
    """InfoNCE of each patch with the one near it, against far ones. Chance is log(negatives + 1).

    Four patches of a picture are encoded: two near pairs, far from each other. Each patch is a query. Chance is log 3
    for "image", log(4 B - 3) for "batch" and log(4 B - 1) for "both". The paper classifies pairs as adjacent or not,
    and its negatives are random pairs only. A softmax over all other patches of a batch asks the same question of many
    pairs at once. The settings are our own, except where a paper is named.

    negatives: "image": the two far patches of the same picture. "batch": the 4 (B - 1) patches of the other pictures;
        its own far patches are ignored. "both": all of these. Default "both".
    temperature: divides the cosine similarities. Default 0.2.
    patch: side of a patch as a share of the picture's. Default 0.5.
    near: largest offset of a near patch along each axis, as a share of the patch's side. Default 0.12.
    far: least offset of a far patch along one axis, as a share of the patch's side; from 1 on they share no pixel, see
        `near_far_boxes`. Default 0.75: far patches share at most a quarter. Patches half as wide as the picture leave
        no room for more. Patches of 0.375, with near 0.33 and far 1, gained six tenths as much in a trial.
    tile: side in pixels that patches are scaled to. Default 16, which an encoder of stride 16 reduces to one position.
    hidden: width of the head's hidden layer; the head is that of SimCLR. Default 256.
    projection: outputs of the head. Default 64.
    flip, strength, hue, grey, invert, gamma: of each patch by itself, see Augmentation. Near patches have the same
        colours and far ones often have not. Without jitter their mean colour would suffice.
    """

    family = "contrastive"
    reference = "Isola et al. 2015, arXiv:1511.06811"
    by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        negatives: str = "both",
        temperature: float = 0.2,
        patch: float = 0.5,
        near: float = 0.12,
        far: float = 0.75,
        tile: int = 16,
        hidden: int = 256,
        projection: int = 64,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        super().__init__(encoder)
        require_choice("negatives", negatives, NEGATIVES)
        require_near_far(data.shape, patch=patch, near=near, far=far, method="near_far_patches")
        require_positive(temperature=temperature, tile=tile, hidden=hidden, projection=projection)
        require_input(encoder, (data.shape[0], tile, tile), "tiles")
        self.negatives, self.temperature = negatives, temperature
        self.patch, self.near, self.far, self.tile = patch, near, far, tile
        self.augment = Augmentation(flip=flip, strength=strength, hue=hue, grey=grey, invert=invert, gamma=gamma)
        self.head = mlp(encoder.dim, hidden, projection)
        self.chance = info_nce_chance(PAIR) if negatives == "image" else None

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> patches (4 B, C, tile, tile); a picture's are next to each other, and so are near
        pairs.
        """
        batch, _, height, width = images.shape
        boxes = near_far_boxes(generator, batch, height, width, patch=self.patch, near=self.near, far=self.far)
        boxes = flip_boxes(boxes, uniform(generator, batch, PATCHES) < self.augment.flip)  # (B, 4, 4)
        patches = resample(inputs(images), boxes, self.tile, self.tile, inside=True).flatten(0, 1)
        return (self.augment.colours(patches, generator),)

    def compared(self, patches: Tensor) -> Tensor:
        """(4 B,) numbers of patches -> (4 B, 4 B) bool: True where the second is a negative of the first."""
        same_pair = patches[:, None] // PAIR == patches // PAIR
        same_picture = patches[:, None] // PATCHES == patches // PATCHES
        if self.negatives == "image":
            return same_picture & ~same_pair
        return ~same_picture if self.negatives == "batch" else ~same_pair

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """InfoNCE, and how often the near patch is more similar than every negative (only logged)."""
        features = unit(self.head(self.encoder(views[0])))  # (4 B, projection)
        logits = similarity(features, features) / self.temperature  # (4 B, 4 B)
        number = torch.arange(len(logits), device=logits.device)
        positive = logits[number, number ^ 1]  # (4 B,): the other of the pair
        negative = logits.masked_fill(~self.compared(number), -math.inf)
        others = PATCHES * (len(index) - 1)
        compared = {"image": PAIR, "batch": others, "both": PAIR + others}[self.negatives]
        accuracy = (positive > negative.amax(1)).float().mean().detach()
        terms = {"loss": info_nce(positive, negative).mean(), "accuracy": accuracy}
        return Scored(terms, chance=info_nce_chance(compared))


METHOD = NearFarPatches
