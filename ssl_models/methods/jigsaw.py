"""Jigsaw puzzles: in which of P known orders are the nine tiles shown? (Noroozi & Favaro 2016, arXiv:1603.09246)

Three measures keep the network from solving it without recognising parts (section 3.3). A random gap between tiles:
edges do not continue from tile to tile. Each tile is normalised by itself: its mean and contrast tell nothing. Some
pictures are grey: colour alone, and the chromatic aberration of the lens, are not enough.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.heads import TilesClassifier
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
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
    """A classifier of permutations, from the nine vectors of one shared encoder. Chance is log(permutations).

    permutations: number of orders to tell apart, at most 9!. Default 100. Paper 100 to 1,000; Goyal et al. 2019
        (arXiv:1905.01235) take 2,000.
    permutation_seed: decides which orders these are; they are chosen far apart, see `order_set`. Default 0. Own.
    tile: side in pixels that tiles are scaled to. Default 16, which an encoder of stride 16 reduces to one position.
        Paper 64 (section 3.3).
    gap: share of a cell's side by which the tile's place is random. Default 0.25. Paper 21 of 85 px.
    grey: probability of a grey picture. Default 0.3. Paper 0.3; arXiv:1905.01235 takes 0.66.
    hidden: width of the classifier's hidden layer. Default 256. Paper 4,096.
    normalise: whether each tile is normalised by itself. Default True, as in the paper (section 3.3).
    smallest_crop: least area of the crop that is cut into tiles, see MildViews. Default 0.6.
    flip: see MildViews.
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
        flip: float = MildViews.flip,
    ) -> None:
        super().__init__(encoder)
        require_tiles(data.shape, tile=tile, gap=gap, method="jigsaw")
        require_input(encoder, (data.shape[0], tile, tile), "tiles")
        require_orders(permutations)
        require_fraction(grey=grey)
        require_positive(hidden=hidden)
        self.tile, self.gap, self.grey, self.normalise = tile, gap, grey, normalise
        self.mild_views = MildViews(smallest_crop, flip)
        self.head = TilesClassifier(encoder.dim, hidden, permutations, TILES)
        self.orders: Tensor
        self.register_buffer("orders", order_set(permutations, permutation_seed), persistent=False)
        self.chance = math.log(permutations)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> shuffled tiles (9 B, C, tile, tile), a picture's next to each other, and the
        number of each picture's permutation (B,) int64."""
        pictures = self.mild_views(images, generator)
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
