"""Near and far patches: what lies side by side in a picture belongs together, what lies far apart less so.

The lectures' step between tracked objects and instance discrimination. The idea is that of Isola et al. 2015
(arXiv:1511.06811): adjacent places are usually related, far ones more often are not, so a siamese network that learns
which patches occur side by side learns what belongs together. Danon et al. 2018 (arXiv:1807.03130) learn a metric of
patches from the same proximity; the loss is that of contrastive predictive coding (van den Oord et al. 2018,
arXiv:1807.03748).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_choice, require_fraction, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import projection_mlp
from ssl_models.losses.contrastive import info_nce, info_nce_chance, similarity, unit
from ssl_models.method import DataSpec, Method
from ssl_models.views.geometric import as_float, resample, uniform
from ssl_models.views.patch_pairs import flip_boxes, near_far_boxes, require_near_far
from ssl_models.views.photometric import colour_jitter, require_jitter

NEGATIVES = ("image", "batch", "both")
PAIR = 2
PATCHES = 2 * PAIR
"""Of each picture: two near patches, and two others near each other and far from those."""


class NearFarPatches(Method):
    """InfoNCE of each patch with the one near it, against far ones. Chance is log(negatives + 1).

    Four patches of a picture, two near pairs far from one another, are encoded once, and each is a query. The chance is
    known from the start for "image", log 3, and else once a batch was scored: log(4 B - 3) for "batch", log(4 B - 1)
    for "both". Isola et al. 2015 classify pairs as adjacent or not, with a siamese network and no negatives but random
    pairs; a softmax over all the other patches of a batch is the same question asked of many at once.
    negatives: "image" for the two far patches of the same picture, "batch" for the 4 (B - 1) of the other pictures (its
    own far ones are then neither pulled nor pushed), "both" for all of these.
    patch: side of a patch as a share of the picture's. near: largest offset of a near patch along each axis, as a share
    of the patch's side. far: least offset of a far one along one axis; from 1 on they share no pixel, see
    `near_far_boxes`. By default far patches share at most a quarter: patches half as wide as the picture leave no room
    for more, and those of three eighths, which do (near 0.33, far 1), gained six tenths as much in a trial.
    tile: side that patches are scaled to; 16 is one place at the end of an encoder of stride 16.
    temperature, hidden, projection: as in SimCLR. flip, strength, hue, grey: of each patch by itself; near patches
    share their colours, and far ones often do not, so without the jitter their mean colour would do. Data without three
    channels are given brightness and contrast, but no hue, saturation or grey.
    """

    family = "contrastive"
    reference = "Isola et al. 2015, arXiv:1511.06811"

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
        flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        grey: float = 0.2,
    ) -> None:
        super().__init__(encoder)
        require_choice("negatives", negatives, NEGATIVES)
        require_near_far(data.shape, patch=patch, near=near, far=far, method="near_far_patches")
        require_positive(temperature=temperature, tile=tile, hidden=hidden, projection=projection)
        require_fraction(flip=flip, grey=grey)
        require_jitter(strength, hue)
        self.negatives, self.temperature = negatives, temperature
        self.patch, self.near, self.far, self.tile = patch, near, far, tile
        self.flip, self.strength, self.hue, self.grey = flip, strength, hue, grey
        self.head = projection_mlp(encoder.dim, hidden, projection)
        self.chance = info_nce_chance(PAIR) if negatives == "image" else None

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> patches (4 B, C, tile, tile), a picture's next to each other, near ones too."""
        batch, _, height, width = images.shape
        boxes = near_far_boxes(generator, batch, height, width, patch=self.patch, near=self.near, far=self.far)
        boxes = flip_boxes(boxes, uniform(generator, batch, PATCHES) < self.flip)  # (B, 4, 4)
        patches = resample(as_float(images), boxes, self.tile, self.tile, inside=True).flatten(0, 1)
        return (colour_jitter(patches, generator, strength=self.strength, hue=self.hue, grey=self.grey),)

    def compared(self, patches: Tensor) -> Tensor:
        """(4 B,) numbers of patches -> (4 B, 4 B) bool: which are a patch's negatives."""
        same_pair = patches[:, None] // PAIR == patches // PAIR
        same_picture = patches[:, None] // PATCHES == patches // PATCHES
        if self.negatives == "image":
            return same_picture & ~same_pair
        return ~same_picture if self.negatives == "batch" else ~same_pair

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """InfoNCE, and how often the near patch is more similar than every negative (only logged)."""
        features = unit(self.head(self.encoder(views[0])))  # (4 B, projection)
        logits = similarity(features, features) / self.temperature  # (4 B, 4 B)
        number = torch.arange(len(logits), device=logits.device)
        positive = logits[number, number ^ 1]  # (4 B,): the other of the pair
        negative = logits.masked_fill(~self.compared(number), -math.inf)
        others = PATCHES * (len(index) - 1)
        self.chance = info_nce_chance({"image": PAIR, "batch": others, "both": PAIR + others}[self.negatives])
        accuracy = (positive > negative.amax(1)).float().mean().detach()
        return {"loss": info_nce(positive, negative).mean(), "accuracy": accuracy}


METHOD = NearFarPatches
