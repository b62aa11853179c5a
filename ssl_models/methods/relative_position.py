"""Relative position: on which of eight sides of one patch does another lie? (Doersch et al. 2015, arXiv:1505.05192)

Whoever can tell has recognised the object and its parts. Three guards against short cuts (section 3.1): a gap between
patches, so that edges do not continue; a jitter of each patch, so that no line leads to the next; and colours dropped,
because a lens bends colours apart by the distance from its axis, which tells where in the picture a patch lies.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.heads import TilesClassifier
from ssl_models.method import DataSpec, Method
from ssl_models.views.geometric import as_float, random_crop_flip, resample
from ssl_models.views.patch_pairs import (
    DIRECTIONS,
    drop_colours,
    grid_boxes,
    grid_pairs,
    project_colours,
    require_grid,
)
from ssl_models.views.patches import normalise_tiles

PAIRS = ("grid", "centre", "one")
COLOURS = ("drop", "project", "keep")


class RelativePosition(Method):
    """Cross entropy of the eight directions from the vectors of two neighbouring patches. Chance is log 8.

    The paper (and the authors' code): patches of 96 px, gap 48, jitter 7, AlexNet with batch norm and heads of 4,096
    twice over; a third of the patches also scaled down to as little as 10 px and up again, which at 32 px they all are.
    pairs: which pairs of the 3x3 grid are scored. "grid": nine patches encoded once each, and all 40 pairs of
    neighbours, as in the authors' code; the eight directions weigh the same, though diagonal ones are rarer. "centre":
    nine patches, and the 8 pairs that begin at the centre; where pictures are all framed alike the place of the second
    patch then gives the answer, and the first need not be looked at. "one": the centre and one neighbour of each
    picture, two patches to encode; in the same time it sees 2.5 times the epochs. In two trials of 20 seconds, with
    drop 1, grid led centre at the same cost, and one in about the same time, by 1 to 4 points of a linear classifier
    with a standard error of 2; by nearest neighbours it led centre twice, and one once.
    tile: side that patches are scaled to; 16 is one place at the end of an encoder of stride 16.
    gap, jitter: shares of a patch's side, see `grid_boxes` (the paper: 0.5 and 0.073; less here for 8 px of 32).
    colours: "drop" leaves one channel of a patch and noise for the rest, "project" takes green against magenta away,
    "keep" does neither; pictures without three channels have no colour to hide. drop: probability that a patch's
    colours are dropped (the paper: 1). Half here, since the encoder is asked about coloured pictures afterwards: in two
    trials its nearest neighbours were better by 8 points, and pictures scaled down to 32 px show little aberration. Use
    1 for photographs of full size, since of a quarter of the pairs both patches keep their colours.
    normalise: each tile by itself, so that its light tells nothing (the paper: no; the authors' code: yes).
    hidden: width of the head. smallest_crop: least area of the crop that the grid is laid on, 1 for none.
    flip: probability of a left-right flip of the picture.
    """

    family = "predictive"
    reference = "Doersch et al. 2015, arXiv:1505.05192"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        pairs: str = "grid",
        tile: int = 16,
        gap: float = 0.35,
        jitter: float = 0.1,
        colours: str = "drop",
        drop: float = 0.5,
        normalise: bool = True,
        hidden: int = 256,
        smallest_crop: float = 0.6,
        flip: float = 0.5,
    ) -> None:
        super().__init__(encoder)
        require_choice("pairs", pairs, PAIRS)
        require_choice("colours", colours, COLOURS)
        require_grid(data.shape, gap=gap, jitter=jitter, method="relative_position")
        require_fraction(drop=drop, smallest_crop=smallest_crop, flip=flip)
        require_positive(tile=tile, hidden=hidden, smallest_crop=smallest_crop)
        self.tile, self.gap, self.jitter = tile, gap, jitter
        self.colours, self.drop, self.normalise = colours, drop, normalise
        self.smallest_crop, self.flip, self.one = smallest_crop, flip, pairs == "one"
        self.head = TilesClassifier(encoder.dim, hidden, len(DIRECTIONS), 2)
        table = grid_pairs(centre_only=pairs != "grid")
        self.table: Tensor  # (P, 3) first place, second place, class
        self.register_buffer("table", table, persistent=False)
        self.weights: Tensor  # (8,) of the classes, so that each weighs the same
        self.register_buffer("weights", 1 / table[:, 2].bincount(), persistent=False)
        self.chance = math.log(len(DIRECTIONS))

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> tiles (K B, C, tile, tile), a picture's next to each other, and the classes (B, P)
        int64 of its pairs: K is 9, or 2 where one pair is drawn for each picture."""
        pictures = random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip)
        batch, _, height, width = pictures.shape
        boxes = grid_boxes(generator, batch, height, width, gap=self.gap, jitter=self.jitter)  # (B, 9, 4)
        classes = self.table[:, 2].expand(batch, -1)
        if self.one:
            drawn = torch.randint(len(self.table), (batch, 1), generator=generator, device=images.device)
            classes = classes.gather(1, drawn)
            places = self.table[drawn[:, 0], :2]  # (B, 2)
            boxes = boxes.gather(1, places[..., None].expand(-1, -1, 4))
        tiles = resample(pictures, boxes, self.tile, self.tile, inside=True).flatten(0, 1)
        return self.hide(tiles, generator), classes

    def hide(self, tiles: Tensor, generator: Generator) -> Tensor:
        """(T, C, tile, tile) -> the same shape: each tile normalised by itself, and its colours taken away."""
        if self.normalise:
            tiles = normalise_tiles(tiles[:, None])[:, 0]
        if self.colours == "drop":
            return drop_colours(tiles, generator, self.drop)
        return project_colours(tiles) if self.colours == "project" else tiles

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """Cross entropy of the directions, and the accuracy (only logged)."""
        tiles, classes = views
        features = self.encoder(tiles).view(len(index), -1, self.encoder.dim)  # (B, K, dim)
        if not self.one:
            features = features[:, self.table[:, :2].flatten()]  # (B, 2 P, dim): first and second of each pair
        logits, answers = self.head(features.flatten(0, 1)), classes.flatten()  # (B P, 8) and (B P,)
        loss = functional.cross_entropy(logits.float(), answers, weight=self.weights)
        return {"loss": loss, "accuracy": (logits.detach().argmax(1) == answers).float().mean()}


METHOD = RelativePosition
