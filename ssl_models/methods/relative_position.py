"""Relative position: on which of eight sides of one patch does another lie? (Doersch et al. 2015, arXiv:1505.05192)

To answer, the network must recognise the object and its parts. Three measures keep it from other answers (section 3.1).
A gap between patches: edges do not continue. A jitter of each patch: no line leads from one patch to the next. Colours
are dropped: the lens shifts colours against each other by an amount that grows with the distance from its axis, which
would tell where in the picture a patch lies.
"""

from __future__ import annotations

import math

from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.heads import TilesClassifier
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.views.drawing import below
from ssl_models.views.patch_pairs import (
    DIRECTIONS,
    drop_colours,
    grid_boxes,
    grid_pairs,
    project_colours,
    require_grid,
)
from ssl_models.views.patches import normalise_tiles
from ssl_models.views.tile_colours import cut_shifted

PAIRS = ("grid", "centre", "one")
COLOURS = ("drop", "project", "keep")


class RelativePosition(Method):
    """Cross entropy of the eight directions, from the vectors of two neighbouring patches. Chance is log 8.

    The paper also scales a third of the patches down to as little as 10 px and up again. At 32 px all patches are that
    small, so this is left out. "Code" is the authors' code.

    pairs: which pairs of the 3x3 grid are scored. Default "grid". In two trials of 20 seconds with `drop` 1, "grid" was
        better than "centre" at the same cost, and than "one" in about the same time, by 1 to 4 points of a linear
        classifier, with a standard error of 2. By nearest neighbours it was better than "centre" twice, and than "one"
        once. "grid": nine patches, each encoded once, and all 40 pairs of neighbours, as in the code. Diagonal
        directions are rarer; the classes are weighted so that all eight count the same. "centre": nine patches, and the
        8 pairs that begin at the centre. Where all pictures are framed alike, the place of the second patch alone then
        gives the answer. "one": the centre and one neighbour of each picture. Only two patches are encoded: in the same
        time there are 2.5 times as many epochs.
    tile: side in pixels that patches are scaled to. Default 16, which an encoder of stride 16 reduces to one position.
        Paper 96 px.
    gap: between patches, as a share of their side, see `grid_boxes`. Default 0.35, since patches have 8 px of 32 here.
        Paper 0.5 (48 of 96 px).
    jitter: farthest that each patch moves along an axis, as a share of its side. Default 0.1. Paper 0.073 (7 of 96 px).
    colours: how they are hidden. Default "drop": one channel of a patch stays, and noise replaces the others.
        "project": the green-magenta axis is removed. "keep": nothing is hidden. Pictures without three channels have no
        colour to hide. Paper: both "drop" and "project" (section 3.1).
    drop: probability that the colours of a patch are dropped. Default 0.5, because the encoder is later used on
        coloured pictures: in two trials its nearest neighbours were better by 8 points, and pictures scaled down to 32
        px show little aberration. Paper 1. Use 1 for photographs of full size: with 0.5 both patches of a quarter of
        the pairs keep colour.
    channel_shift: the farthest that each colour channel of a patch moves, in pixels of the picture before patches are
        scaled, see `cut_shifted`. Default 0. It takes room from the patches: 1 leaves 7 px of 32 without jitter. Paper:
        not there; the jigsaw of Noroozi & Favaro 2016 (arXiv:1603.09246) takes 2 of 255 px.
    normalise: whether each patch is normalised by itself, so that its brightness tells nothing. Default True, as in the
        code. Paper: no.
    hidden: width of the head's hidden layer. Default 256. Paper two layers of 4,096.
    smallest_crop: least area of the crop that the grid is laid on, see MildViews. Default 0.6.
    flip: of the picture, see MildViews.
    """

    family = "predictive"
    reference = "Doersch et al. 2015, arXiv:1505.05192"
    crops = by_rows = True

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
        channel_shift: int = 0,
        normalise: bool = True,
        hidden: int = 256,
        smallest_crop: float = 0.6,
        flip: float = MildViews.flip,
    ) -> None:
        super().__init__(encoder)
        require_choice("pairs", pairs, PAIRS)
        require_choice("colours", colours, COLOURS)
        require_grid(data.shape, gap=gap, jitter=jitter, method="relative_position", shift=channel_shift)
        require_fraction(drop=drop)
        require_positive(tile=tile, hidden=hidden)
        require_input(encoder, (data.shape[0], tile, tile), "tiles")
        self.tile, self.gap, self.jitter, self.shift = tile, gap, jitter, channel_shift
        self.colours, self.drop, self.normalise = colours, drop, normalise
        self.mild_views, self.one = MildViews(smallest_crop, flip, data.shape[1:]), pairs == "one"
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
        pictures = self.mild_views(images, generator)
        batch, _, height, width = pictures.shape
        spaces = {"gap": self.gap, "jitter": self.jitter}
        boxes = grid_boxes(generator, batch, height, width, **spaces, shift=self.shift)  # (B, 9, 4)
        classes = self.table[:, 2].expand(batch, -1)
        if self.one:
            drawn = below(generator, len(self.table), batch, 1)
            classes = classes.gather(1, drawn)
            places = self.table[drawn[:, 0], :2]  # (B, 2)
            boxes = boxes.gather(1, places[..., None].expand(-1, -1, 4))
        tiles = cut_shifted(pictures, boxes, generator, tile=self.tile, shift=self.shift)
        return self.hide(tiles.flatten(0, 1), generator), classes

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
