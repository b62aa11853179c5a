"""Jigsaw puzzles: in which of P known orders are the nine tiles shown? (Noroozi & Favaro 2016, arXiv:1603.09246)

Measures keep the network from solving it without recognising parts (section 3.3). A random gap between tiles: edges do
not continue from tile to tile. Each tile is normalised by itself: its mean and contrast tell nothing. Some pictures are
grey, and the colour channels of others can be shifted against each other: colour alone, and the chromatic aberration of
the lens, are not enough.
"""

from __future__ import annotations

import math

from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.heads import TilesClassifier
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import below
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
from ssl_models.views.tile_colours import change_tiles


class Jigsaw(Method):
    """A classifier of permutations, from the nine vectors of one shared encoder. Chance is log(permutations).

    permutations: number of orders to tell apart, at most 9!. Default 100. Paper 100 to 1,000; Goyal et al. 2019
        (arXiv:1905.01235) take 2,000.
    permutation_seed: decides which orders these are; they are chosen far apart, see `far_apart`. Default 0. Own.
    permutations_by: the distance that is made large. Default "minimum": to the nearest order. "mean": the mean of all.
        Paper "mean" (algorithm 1).
    tile: side in pixels that tiles are scaled to. Default 16, which an encoder of stride 16 reduces to one position.
        Paper 64 (section 3.3).
    gap: share of a cell's side by which the tile's place is random. Default 0.25. Paper 21 of 85 px.
    grey: probability of a grey picture. Default 0.3. Paper 0.3; arXiv:1905.01235 takes 0.66.
    strength, hue: of a jitter of the picture's colours, see `colour_jitter`. Default 0: none. Paper: not there.
    patch_jitter: whether `strength`, `hue`, `grey` and `flip` are drawn for each tile, after cutting, instead of once
        for the picture. Default False, as in the paper. The code of PIRL does so, and jigsaw is its rival. Where tiles
        are normalised by themselves, that takes a change of brightness or contrast back.
    channel_shift: the farthest that each colour channel of a tile moves, in pixels of the picture before tiles are
        scaled, see `cut_shifted`. Default 0. Paper 2, of 255 px (section 3.3). At most half of what `gap` leaves: 1 of
        32 px. Grey pictures are not shifted; with `patch_jitter` a tile becomes grey after the shift.
    hidden: width of the classifier's hidden layer. Default 256. Paper 4,096.
    normalise: whether each tile is normalised by itself. Default True, as in the paper (section 3.3).
    smallest_crop: least area of the crop that is cut into tiles, see MildViews. Default 0.6.
    flip: see MildViews.
    """

    family = "predictive"
    reference = "Noroozi & Favaro 2016, arXiv:1603.09246"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        permutations: int = 100,
        permutation_seed: int = 0,
        permutations_by: str = "minimum",
        tile: int = 16,
        gap: float = 0.25,
        grey: float = 0.3,
        strength: float = 0.0,
        hue: float = 0.0,
        patch_jitter: bool = False,
        channel_shift: int = 0,
        hidden: int = 256,
        normalise: bool = True,
        smallest_crop: float = 0.6,
        flip: float = MildViews.flip,
    ) -> None:
        super().__init__(encoder)
        require_tiles(data.shape, tile=tile, gap=gap, method="jigsaw", shift=channel_shift)
        require_input(encoder, (data.shape[0], tile, tile), "tiles")
        require_orders(permutations)
        require_positive(hidden=hidden)
        self.tile, self.gap, self.shift, self.normalise = tile, gap, channel_shift, normalise
        self.change = Augmentation(flip=flip, strength=strength, hue=hue, grey=grey)
        self.patch_jitter = patch_jitter
        self.mild_views = MildViews(smallest_crop, 0.0 if patch_jitter else flip, data.shape[1:])
        self.head = TilesClassifier(encoder.dim, hidden, permutations, TILES)
        self.orders: Tensor
        self.register_buffer("orders", order_set(permutations, permutation_seed, permutations_by), persistent=False)
        self.chance = math.log(permutations)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> shuffled tiles (9 B, C, tile, tile), a picture's next to each other, and the
        number of each picture's permutation (B,) int64."""
        pictures = self.mild_views(images, generator)
        tiles = self.coloured_tiles(pictures, generator)  # (B, 9, C, tile, tile)
        if self.normalise:
            tiles = normalise_tiles(tiles)
        shown = below(generator, len(self.orders), len(images))
        return shuffle_tiles(tiles, self.orders[shown]).flatten(0, 1), shown

    def coloured_tiles(self, pictures: Tensor, generator: Generator) -> Tensor:
        """(B, C, H, W) in [0, 1] -> tiles (B, 9, C, tile, tile): jittered and then cut, or with `patch_jitter` cut and
        then each jittered and flipped."""
        if self.patch_jitter:
            return change_tiles(self.cut(pictures, generator), generator, self.change)
        if self.change.strength or self.change.hue:
            return self.cut(self.change.colours(pictures, generator), generator)
        return self.cut(random_grey(pictures, generator, self.change.grey), generator)

    def cut(self, pictures: Tensor, generator: Generator) -> Tensor:
        """(B, C, H, W) -> (B, 9, C, tile, tile), row by row."""
        return cut_tiles(pictures, generator, tile=self.tile, gap=self.gap, shift=self.shift)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """Cross entropy of the permutation shown, and the accuracy (only logged)."""
        tiles, shown = views
        logits = self.head(self.encoder(tiles))  # (B, permutations)
        accuracy = (logits.detach().argmax(1) == shown).float().mean()
        return {"loss": functional.cross_entropy(logits, shown), "accuracy": accuracy}


METHOD = Jigsaw
