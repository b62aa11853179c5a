"""Pictures as vectors of 0 and 1: grey, averaged over boxes, and 1 where it is bright.

All is computed in whole numbers, which float64 holds: a picture of one grey has no brighter cell on any machine.
"""

from __future__ import annotations

import torch
from torch import Tensor

WEIGHTS = (299, 587, 114)
"""Thousandths of red, green and blue in grey (ITU-R BT.601)."""
WHITE = 255 * sum(WEIGHTS)
NUMBERS = 2**20
"""Pixels at a time."""


def binarised(images: Tensor, side: int, threshold: float | None) -> Tensor:
    """(N, C, H, W) uint8 of RGB, further channels are passed over -> (N, side * side) float32, row by row.

    A cell is 1 where it is brighter than `threshold`, of 0 (black) to 1 (white); None for the picture's own mean.
    """
    count, _, height, width = images.shape
    step = max(1, NUMBERS // (height * width))
    found = [_cells(images[begin : begin + step], side) for begin in range(0, count, step)]
    cells = torch.cat(found) if found else torch.zeros(0, side * side, dtype=torch.float64)
    if threshold is None:
        return (cells * side**2 > cells.sum(1, keepdim=True)).float()
    return (cells > threshold * WHITE * height * width).float()


def _cells(images: Tensor, side: int) -> Tensor:
    """(N, C, H, W) uint8 -> (N, side * side) float64: the grey of each cell, times 1000 H W; whole numbers."""
    red, green, blue = images[:, :3].int().unbind(1)
    grey = WEIGHTS[0] * red + WEIGHTS[1] * green + WEIGHTS[2] * blue
    down, across = overlaps(images.shape[2], side), overlaps(images.shape[3], side)
    return torch.einsum("nhc,rh->nrc", grey.double() @ across.T, down).flatten(1)


def overlaps(pixels: int, cells: int) -> Tensor:
    """(cells, pixels) float64: how much of each pixel lies in each of equal cells, times `cells`; whole numbers.

    A cell holds pixels / cells pixels, so each row sums to `pixels`.
    """
    pixel, cell = torch.arange(pixels, dtype=torch.float64), torch.arange(cells, dtype=torch.float64)[:, None]
    begin = torch.maximum(pixel * cells, cell * pixels)
    end = torch.minimum((pixel + 1) * cells, (cell + 1) * pixels)
    return (end - begin).clamp(min=0)
