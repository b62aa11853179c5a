"""Jigsaw puzzles: which of P known orders are the nine tiles shown in? (Noroozi & Favaro 2016, arXiv:1603.09246)

Three guards against short cuts (section 3.3): a random gap between tiles, so that edges do not continue; each tile
normalised by itself, so that its mean and contrast tell nothing; grey pictures now and then, so that colour alone (and
the lens's chromatic aberration) does not solve it.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import TilesClassifier
from ssl_models.method import DataSpec, Method
from ssl_models.views.geometric import as_float, random_crop_flip
from ssl_models.views.patches import (
    TILES,
    cut_tiles,
    normalise_tiles,
    order_set,
    require_orders,
    require_tiles,
    shuffle_tiles,
)
from ssl_models.views.photometric import random_grey


class Jigsaw(Method):
    """A classifier of permutations over the shared encoder's nine vectors. Chance is log(permutations).

    permutations: how many orders are told apart, at most 9! (the paper: 100 to 1,000; Goyal et al. 2019,
    arXiv:1905.01235: 2,000). permutation_seed: of the set, chosen far apart, see `order_set`.
    tile: side that tiles are scaled to; 16 is one place at the end of an encoder of stride 16 (the paper: 64).
    gap: share of a cell's side left to chance (21 of 85 px). grey: probability of a grey picture (0.3 in the paper,
    0.66 in arXiv:1905.01235). hidden: width of the classifier (4,096). normalise: each tile by itself.
    smallest_crop: least area of the crop that is cut up, 1 for none. flip: probability of a left-right flip.
    """

    family = "predictive"
    reference = "Noroozi & Favaro 2016, arXiv:1603.09246"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        permutations: int = 100,
        permutation_seed: int = 0,
        tile: int = 16,
        gap: float = 0.25,
        grey: float = 0.3,
        hidden: int = 256,
        normalise: bool = True,
        smallest_crop: float = 0.6,
        flip: float = 0.5,
    ) -> None:
        super().__init__(encoder)
        require_tiles(data.shape, tile=tile, gap=gap, method="jigsaw")
        require_orders(permutations)
        require_fraction(grey=grey, smallest_crop=smallest_crop, flip=flip)
        require_positive(hidden=hidden, smallest_crop=smallest_crop)
        self.tile, self.gap, self.grey, self.normalise = tile, gap, grey, normalise
        self.smallest_crop, self.flip = smallest_crop, flip
        self.head = TilesClassifier(encoder.dim, hidden, permutations, TILES)
        self.orders: Tensor
        self.register_buffer("orders", order_set(permutations, permutation_seed), persistent=False)
        self.chance = math.log(permutations)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> shuffled tiles (9 B, C, tile, tile), a picture's next to each other, and the
        number of each picture's permutation (B,) int64."""
        pictures = random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip)
        pictures = random_grey(pictures, generator, self.grey)
        tiles = cut_tiles(pictures, generator, tile=self.tile, gap=self.gap)  # (B, 9, C, tile, tile)
        if self.normalise:
            tiles = normalise_tiles(tiles)
        shown = torch.randint(len(self.orders), (len(images),), generator=generator, device=images.device)
        return shuffle_tiles(tiles, self.orders[shown]).flatten(0, 1), shown

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross entropy of the permutation shown, and the accuracy (only logged)."""
        tiles, shown = views
        logits = self.head(self.encoder(tiles))  # (B, permutations)
        accuracy = (logits.detach().argmax(1) == shown).float().mean()
        return {"loss": functional.cross_entropy(logits, shown), "accuracy": accuracy}


METHOD = Jigsaw
