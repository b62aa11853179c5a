"""PIRL: a picture and a transformed copy of it have one representation (Misra & van der Maaten 2020).

arXiv:1912.01991. Where a pretext task asks which transformation was made (and so keeps it in the features), PIRL asks
that it make no difference: head f on the picture and head g on its shuffled or turned copy are both compared with a
memory bank, which holds one feature of every untransformed picture and so gives any number of negatives (section 3.2).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import TilesProjection, centred
from ssl_models.losses.contrastive import info_nce, info_nce_chance, pirl_nce, pirl_nce_chance, unit
from ssl_models.memory import MemoryBank, rows_compared
from ssl_models.method import DataSpec, Method
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import as_float, require_square, rotate
from ssl_models.views.patches import (
    ALL_ORDERS,
    TILES,
    cut_tiles,
    order_set,
    random_orders,
    require_orders,
    require_tiles,
    shuffle_tiles,
)

OBJECTIVES = {"nce": (pirl_nce, pirl_nce_chance), "softmax": (info_nce, info_nce_chance)}
TRANSFORMS = ("jigsaw", "rotation", "jigsaw_rotation")


class PIRL(Method):
    """`weight * L(m_I, g(v_It)) + (1 - weight) * L(m_I, f(v_I))` (eq. 5). Chance is the loss at equal logits.

    The paper: weight (lambda) 0.5, temperature 0.07, 32,000 negatives, projection 128, SGD 0.9, weight decay 1e-4,
    batch 1,024, 800 epochs, cosine from 0.12 to 1.2e-4, jigsaw over all 9! orders, tiles of 64 px, crops of at least
    60 %.
    objective: "nce" (eq. 3 and 4) or "softmax" over the same logits.
    transform: jigsaw, rotation (a quarter turn, drawn for each sample), or jigsaw_rotation (turned, then shuffled).
    permutations: 0 or 9! draws each order from all; another number from a set chosen far apart.
    negatives: rows of the bank that a batch is compared with; None: 1,024, or all where there are fewer; 0: all.
    bank_momentum: share of a bank row that stays at its update. tile, gap: see `cut_tiles`.
    centre: whether a batch normalisation ends both heads (the paper: no). An untrained encoder gives all pictures
    nearly one vector; the rows that have been visited then resemble every query and the others none, and for the
    first epochs, which are all that a small machine has, the network flees from its own bank. The temperature is
    higher than the paper's for the same reason: a bank that lags by an epoch of large steps is a blurred target.
    smallest_crop, smallest_transformed_crop: least areas of the two crops. strength, hue, grey: of the colour jitter.
    """

    family = "contrastive"
    reference = "Misra & van der Maaten 2020, arXiv:1912.01991"

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
        temperature: float = 0.2,
        negatives: int | None = None,
        bank_momentum: float = 0.5,
        projection: int = 64,
        centre: bool = True,
        tile: int = 16,
        gap: float = 0.25,
        smallest_crop: float = 0.2,
        smallest_transformed_crop: float = 0.6,
        flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        grey: float = 0.2,
    ) -> None:
        super().__init__(encoder)
        require_picture(data.shape, "pirl")
        require_choice("objective", objective, tuple(OBJECTIVES))
        require_choice("transform", transform, TRANSFORMS)
        require_positive(temperature=temperature, projection=projection)
        require_positive(smallest_transformed_crop=smallest_transformed_crop)
        require_fraction(weight=weight, bank_momentum=bank_momentum)
        require_fraction(smallest_transformed_crop=smallest_transformed_crop)
        self.augment = Augmentation(smallest_crop, flip, strength, hue, grey)
        self.augment_transformed = replace(self.augment, smallest_crop=smallest_transformed_crop)
        self.weight, self.objective, self.temperature = weight, objective, temperature
        self.bank_momentum = bank_momentum
        self.turned, self.shuffled = "rotation" in transform, "jigsaw" in transform
        self.tile, self.gap = tile, gap
        self.negatives, compared = rows_compared(negatives, data.samples)
        self.chance = OBJECTIVES[objective][1](compared)

        self.orders: Tensor | None
        self.register_buffer("orders", None)
        if self.turned:
            require_square(data.shape, "pirl")
        if self.shuffled:
            require_tiles(data.shape, tile=tile, gap=gap, method="pirl")
            if permutations not in (0, ALL_ORDERS):
                require_orders(permutations)
                self.register_buffer("orders", order_set(permutations, permutation_seed), persistent=False)
        transformed_head = TilesProjection(encoder.dim, projection, TILES) if self.shuffled else None
        self.image_head = centred(nn.Linear(encoder.dim, projection), projection, centre)  # f
        self.transformed_head = centred(transformed_head or nn.Linear(encoder.dim, projection), projection, centre)  # g
        self.bank = MemoryBank(data.samples, projection)
        self.pending: tuple[Tensor, Tensor] | None = None

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> pictures of the same shape, the transformed (9 B, C, tile, tile) or (B, C, H, W), and
        the bank rows (negatives,) int64 that this batch is compared with."""
        pictures = as_float(images)
        plain = self.augment(pictures, generator)
        transformed = self.augment_transformed(pictures, generator)
        if self.turned:
            turns = torch.randint(4, (len(images),), generator=generator, device=images.device)
            transformed = rotate(transformed, turns)
        if self.shuffled:
            tiles = cut_tiles(transformed, generator, tile=self.tile, gap=self.gap)
            transformed = shuffle_tiles(tiles, self.draw_orders(len(images), generator)).flatten(0, 1)
        return plain, transformed, self.bank.negatives(self.negatives, generator)

    def draw_orders(self, batch: int, generator: Generator) -> Tensor:
        """(B, 9) int64: from the set where there is one, else from all 9!."""
        if self.orders is None:
            return random_orders(batch, generator)
        return self.orders[torch.randint(len(self.orders), (batch,), generator=generator, device=generator.device)]

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """The two weighted halves of eq. 5, and how often g's nearest row is the picture's own (only logged)."""
        plain, transformed, negatives = views
        image_features = unit(self.image_head(self.encoder(plain)))  # (B, projection)
        transformed_features = unit(self.transformed_head(self.encoder(transformed)))  # (B, projection)
        self.pending = index, image_features.detach()
        criterion = OBJECTIVES[self.objective][0]
        image = self.bank.logits(image_features, index, negatives, self.temperature)
        own, others = self.bank.logits(transformed_features, index, negatives, self.temperature)
        return {
            "transformed": self.weight * criterion(own, others).mean(),
            "image": (1 - self.weight) * criterion(*image).mean(),
            "accuracy": (own > others.amax(1)).float().mean().detach(),
        }

    def after_step(self, progress: float) -> None:  # noqa: ARG002
        """Moves the batch's rows of the bank towards f of the untransformed pictures."""
        if self.pending is not None:
            self.bank.update(*self.pending, self.bank_momentum)
            self.pending = None


METHOD = PIRL
