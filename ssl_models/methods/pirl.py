"""PIRL: a picture and a transformed copy of it have one representation (Misra & van der Maaten 2020).

arXiv:1912.01991. A pretext task asks which transformation was made, so the features must keep it. PIRL asks for
features that do not depend on it. Head f on the picture and head g on its transformed copy are both compared with a
memory bank. The bank holds one feature of every untransformed picture, and gives any number of negatives (section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.crops import mean_of, repeated
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.heads import TilesProjection, centred
from ssl_models.losses.contrastive import info_nce, info_nce_chance, pirl_nce, pirl_nce_chance, unit
from ssl_models.losses.metric import agreement
from ssl_models.losses.noise_contrastive import kept_partition, nce
from ssl_models.memory import MemoryBank, rows_compared
from ssl_models.method import Method, Scored
from ssl_models.modalities.inputs import inputs
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import below
from ssl_models.views.geometric import random_crop_flip, require_square, rotate
from ssl_models.views.patches import (
    ALL_ORDERS,
    ORDERS_BY,
    TILES,
    cut_tiles,
    order_set,
    random_orders,
    require_orders,
    require_tiles,
    shuffle_tiles,
)
from ssl_models.views.tile_colours import change_tiles

CHANCES = {"nce": pirl_nce_chance, "nce_constant": pirl_nce_chance, "softmax": info_nce_chance}
CRITERIA = {"nce": pirl_nce, "softmax": info_nce}
TRANSFORMS = ("jigsaw", "rotation", "jigsaw_rotation")


class PIRL(Method):
    """`weight * L(m_I, g(v_It)) + (1 - weight) * L(m_I, f(v_I))` (eq. 5). Chance is the loss at equal logits.

    The paper trains with SGD, momentum 0.9, weight decay 1e-4, batches of 1,024 and a cosine from 0.12 to 1.2e-4, for
    800 epochs.

    weight: lambda of eq. 5. Default 0.5. Paper 0.5.
    objective: the loss L over the logits. Default "nce" (eq. 3 and 4). "nce_constant": the NCE of NPID, whose Z is one
        constant instead of a sum for each query; it is estimated from g's logits in the first batch and kept, for both
        halves. "softmax": a softmax over the same logits. Paper "nce"; the authors' code (VISSL) has "nce_constant".
    transform: of the second view. Default "jigsaw": nine tiles, shuffled. "rotation": a quarter turn, drawn for each
        sample. "jigsaw_rotation": turned, then shuffled. Paper "jigsaw".
    permutations: size of the set that an order is drawn from, chosen far apart; 0 or 9! for all orders. Default 0.
        Paper 9!.
    permutation_seed: decides which orders are in the set. Default 0. Own.
    permutations_by: the distance by which the set is chosen, "minimum" or "mean", see `far_apart`. Default "minimum".
    temperature: divides the cosine similarities. Default 0.2. Paper 0.07. The bank lags by an epoch of large steps
        here, so its rows are a blurred target.
    negatives: rows of the bank that a batch is compared with. Default None: 1,024, or all where there are fewer. 0:
        all. Paper 32,000.
    bank_momentum: share of a row of the bank that stays when it is updated. Default 0.5.
    fill: whether a first pass over all pictures fills the bank. Default False: its rows begin as random unit vectors,
        as in the paper, and a picture's own row tells nothing of it in the first epoch.
    crops: views of the untransformed picture in a step. Each of them looks for the picture's row, which moves towards
        the mean of their features. Default 1. Paper 1.
    transformed_crops: the same of the transformed picture. Default 1. Paper 1.
    projection: outputs of both heads. Default 64. Paper 128.
    centre: whether a batch normalisation ends both heads. Default True. Paper: no. An untrained encoder gives all
        pictures nearly one vector. Rows of the bank that were updated then resemble every query, and rows not yet
        visited resemble none. For the first epochs, which are all that a small machine has, the loss mostly drives the
        features away from the bank. Centred features spread over the sphere from the first step.
    tile: side in pixels that tiles are scaled to. Default 16, which an encoder of stride 16 reduces to one position.
        Paper 64.
    gap: share of a cell's side by which a tile's place is random, see `cut_tiles`. Default 0.25.
    smallest_crop: least area of the crop of the untransformed picture, see Augmentation.
    smallest_transformed_crop: least area of the crop that is transformed. Default 0.6. Paper 0.6.
    flip, strength, hue, grey, invert, gamma: of both views, see Augmentation.
    patch_jitter: whether these are drawn for each tile of the transformed view, after cutting, and not once for
        all nine, which then share a cast of colour. Default False. The authors' code (VISSL): True, with a strength of
        0.5, a hue of 0.2 and grey 0.2. Needs a transform with tiles. The view of the whole picture stays as it is.
    """

    family = "contrastive"
    reference = "Misra & van der Maaten 2020, arXiv:1912.01991"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        weight: float = 0.5,
        objective: str = "nce",
        transform: str = "jigsaw",
        permutations: int = 0,
        permutation_seed: int = 0,
        permutations_by: str = "minimum",
        temperature: float = 0.2,
        negatives: int | None = None,
        bank_momentum: float = 0.5,
        fill: bool = False,
        crops: int = 1,
        transformed_crops: int = 1,
        projection: int = 64,
        centre: bool = True,
        tile: int = 16,
        gap: float = 0.25,
        smallest_crop: float = Augmentation.smallest_crop,
        smallest_transformed_crop: float = 0.6,
        flip: float = Augmentation.flip,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        grey: float = Augmentation.grey,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
        patch_jitter: bool = False,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "pirl")
        require_choice("objective", objective, tuple(CHANCES))
        require_choice("transform", transform, TRANSFORMS)
        require_choice("permutations_by", permutations_by, ORDERS_BY)
        require_positive(temperature=temperature, projection=projection)
        require_positive(smallest_transformed_crop=smallest_transformed_crop)
        require_positive(crops=crops, transformed_crops=transformed_crops)
        require_fraction(weight=weight, bank_momentum=bank_momentum)
        require_fraction(smallest_transformed_crop=smallest_transformed_crop)
        self.augment = Augmentation(
            smallest_crop, flip, strength, hue, grey, invert=invert, gamma=gamma, size=data.shape[1:]
        )
        self.augment_transformed = replace(self.augment, smallest_crop=smallest_transformed_crop)
        self.weight, self.objective, self.temperature = weight, objective, temperature
        self.bank_momentum, self.samples = bank_momentum, data.samples
        self.crops_each, self.transformed_each = crops, transformed_crops
        self.turned, self.shuffled = "rotation" in transform, "jigsaw" in transform
        self.patch_jitter = patch_jitter
        self.tile, self.gap = tile, gap
        self.negatives, compared = rows_compared(negatives, data.samples)
        self.chance = CHANCES[objective](compared)
        self.log_z: Tensor | None  # NaN until the first batch
        self.register_buffer("log_z", torch.tensor(torch.nan) if objective == "nce_constant" else None)

        if self.turned:
            require_square(data.shape, "pirl")
        if self.shuffled:
            require_tiles(data.shape, tile=tile, gap=gap, method="pirl")
            require_input(encoder, (data.shape[0], tile, tile), "tiles")
        elif patch_jitter:
            raise ValueError(f"patch_jitter is True, and the transform '{transform}' has no tiles to jitter")
        self.orders: Tensor | None
        orders = orders_of(permutations, permutation_seed, permutations_by) if self.shuffled else None
        self.register_buffer("orders", orders, persistent=False)
        transformed_head = TilesProjection(encoder.dim, projection, TILES) if self.shuffled else None
        self.image_head = centred(nn.Linear(encoder.dim, projection), projection, centre)  # f
        self.transformed_head = centred(transformed_head or nn.Linear(encoder.dim, projection), projection, centre)  # g
        self.bank, self.meets = MemoryBank(data.samples, projection), fill

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> pictures (n B, C, H, W), the transformed (9 m B, C, tile, tile) or (m B, C, H, W), with
        n `crops` and m `transformed_crops`, and the bank rows (negatives,) int64 that this batch is compared with."""
        pictures = inputs(images)
        plain = self.augment(repeated(pictures, self.crops_each), generator)
        transformed = self.transformed_picture(repeated(pictures, self.transformed_each), generator)
        count = len(transformed)
        if self.turned:
            transformed = rotate(transformed, below(generator, 4, count))
        if self.shuffled:
            tiles = self.tiles(transformed, generator)
            transformed = shuffle_tiles(tiles, self.draw_orders(count, generator)).flatten(0, 1)
        return plain, transformed, self.bank.negatives(self.negatives, generator)

    def transformed_picture(self, pictures: Tensor, generator: Generator) -> Tensor:
        """(B, C, H, W) -> (B, C, *size), before turns and tiles: cropped, and jittered unless its tiles will be."""
        augment = self.augment_transformed
        if self.patch_jitter:
            return random_crop_flip(pictures, generator, smallest=augment.smallest_crop, flip=0, size=augment.size)
        return augment(pictures, generator)

    def tiles(self, pictures: Tensor, generator: Generator) -> Tensor:
        """(B, C, H, W) -> (B, 9, C, tile, tile), row by row."""
        tiles = cut_tiles(pictures, generator, tile=self.tile, gap=self.gap)
        return change_tiles(tiles, generator, self.augment_transformed) if self.patch_jitter else tiles

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return 1, 1, 0

    def draw_orders(self, batch: int, generator: Generator) -> Tensor:
        """(B, 9) int64: from the set where there is one, else from all 9!."""
        if self.orders is None:
            return random_orders(batch, generator)
        return self.orders[below(generator, len(self.orders), batch)]

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """The two weighted halves of eq. 5. Only logged: how often the own row is the nearest to g's feature, and how
        far f of a picture and g of its transformed copy agree.

        Hands over the samples, and the features f (B, projection) for the bank.
        """
        plain, transformed, negatives = views
        compared = (negatives, self.temperature)
        image_features = unit(self.image_head(self.encoder(plain)))  # (n B, projection)
        transformed_features = unit(self.transformed_head(self.encoder(transformed)))  # (m B, projection)
        image = self.bank.logits(image_features, repeated(index, self.crops_each), *compared)
        own, others = self.bank.logits(transformed_features, repeated(index, self.transformed_each), *compared)
        if self.log_z is not None:
            self.log_z.copy_(kept_partition(self.log_z, others, self.samples))
        features = mean_of(image_features.detach(), self.crops_each)
        terms = {
            "transformed": self.weight * self.contrast(own, others).mean(),
            "image": (1 - self.weight) * self.contrast(*image).mean(),
            "accuracy": (own > others.amax(1)).float().mean().detach(),
            "agreement": agreement(features, mean_of(transformed_features.detach(), self.transformed_each)),
        }
        return Scored(terms, handed_over=(index, features))

    def contrast(self, positive: Tensor, negative: Tensor) -> Tensor:
        """(B,) and (B, negatives) logits -> the loss L of each sample, (B,)."""
        if self.log_z is None:
            return CRITERIA[self.objective](positive, negative)
        return nce(positive, negative, self.log_z, self.samples)

    def meet(self, *views: Tensor, index: Tensor) -> None:
        """Puts f of a batch's untransformed pictures into their rows of the bank."""
        self.bank.update(index, mean_of(self.image_head(self.encoder(views[0])), self.crops_each), momentum=0.0)

    def after_step(self, handed_over: tuple[Tensor, Tensor], progress: float) -> None:  # noqa: ARG002
        """Moves the bank's rows of the batch towards f of the untransformed pictures."""
        self.bank.update(*handed_over, self.bank_momentum)


def orders_of(permutations: int, seed: int, by: str) -> Tensor | None:
    """The set (permutations, 9) int64 that orders are drawn from, or None for all 9! of them. Raises ValueError."""
    if permutations in (0, ALL_ORDERS):
        return None
    require_orders(permutations)
    return order_set(permutations, seed, by)


METHOD = PIRL
