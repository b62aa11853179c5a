"""Colours of the tiles that a picture is cut into: what keeps them from telling which tiles belong together, and where.

Letters: B samples, K tiles a sample, C channels, H W height and width of the picture, t side of a tile.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import below, uniform
from ssl_models.views.geometric import resample

SAME_VALUE = 1e-4
"""Channels that differ by less are equal: a picture that was made grey is exact to some 1e-7."""


def change_tiles(tiles: Tensor, generator: Generator, change: Augmentation) -> Tensor:
    """(B, K, C, t, t) in [0, 1] -> the same shape: colours changed and flipped left-right, drawn for each tile.

    change: whose `colours` and `flip` it does; the mean grey of a jitter is that of the tile.
    So tiles of one picture share no cast of colour, as in the code of PIRL's authors (arXiv:1912.01991), which cuts
    first and then changes each tile.
    """
    flat = change.colours(tiles.flatten(0, 1), generator)
    flipped = uniform(generator, len(flat), 1, 1, 1) < change.flip
    return torch.where(flipped, flat.flip(3), flat).view(tiles.shape)


def cut_shifted(images: Tensor, boxes: Tensor, generator: Generator, *, tile: int, shift: int) -> Tensor:
    """Cuts tiles out of a picture and moves their colour channels against each other: (B, K, C, tile, tile).

    images: (B, C, H, W) float. boxes: (B, K, 4) top, left, height, width in whole pixels, none of them within `shift`
    pixels of what a tile must not show. shift: the farthest that a channel moves, in pixels of the picture; 0 draws
    nothing.

    Each channel of each tile is cut at a place of its own, U{-shift, ..., shift} along each axis from that of the box.
    So it shows the picture's own pixels up to its border, and nothing is repeated or wrapped around. A lens shifts
    colours by an amount that grows with the distance from its axis; this hides it (Noroozi & Favaro 2016,
    arXiv:1603.09246, section 3.3: up to 2 of 255 px, in coloured pictures). Grey pictures, and those without three
    channels, are only cut.
    """
    batch, channels = images.shape[:2]
    if not shift or channels != 3:
        return resample(images, boxes, tile, tile, inside=True)
    count = boxes.shape[1]
    moves = below(generator, 2 * shift + 1, batch, channels, count, 2) - shift
    coloured = (images.amax(1) - images.amin(1)).flatten(1).amax(1) > SAME_VALUE  # (B,)
    places = boxes[:, None, :, :2] + moves * coloured[:, None, None, None]  # (B, C, K, 2)
    moved = torch.cat([places, boxes[:, None, :, 2:].expand(-1, channels, -1, -1)], dim=3)
    cut = resample(images.flatten(0, 1)[:, None], moved.flatten(0, 1), tile, tile, inside=True)
    return cut.view(batch, channels, count, tile, tile).transpose(1, 2)


def require_shift(shift: int) -> None:
    """Refuses a negative shift of channels."""
    if shift < 0:
        raise ValueError(f"channel_shift is {shift}; it must be at least 0")
