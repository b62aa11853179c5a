"""What a method has made of some pictures, in rows for the report: a name, and the pictures beside it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy import ndarray
from torch import Tensor

from ssl_models.figures import TEXT, figure, pixels

MOST = 10
"""Pictures in a row."""
SIDE, NAME = 0.72, 1.25
"""Inches of a picture, and of the column of names."""


def in_rows(rows: Mapping[str, Tensor]) -> ndarray:
    """name -> (N, 3, H, W) in [0, 1], one row each below the other -> (H', W', 3) uint8. Values beyond are clipped."""
    columns = min(MOST, max(map(len, rows.values())))
    drawn = figure(NAME + SIDE * columns, SIDE * len(rows))
    grid = drawn.subplots(len(rows), columns, squeeze=False)
    for axes, (name, pictures) in zip(grid, rows.items(), strict=True):
        for place, column in enumerate(axes):
            column.set_axis_off()
            if place < len(pictures):
                column.imshow(_as_bytes(pictures[place]), interpolation="nearest")
        axes[0].text(
            -0.12, 0.5, name, transform=axes[0].transAxes, ha="right", va="center", fontsize=TEXT, color="#222222"
        )
    left = NAME / (NAME + SIDE * columns)
    drawn.subplots_adjust(left=left, right=0.998, top=0.998, bottom=0.002, wspace=0.06, hspace=0.06)
    return pixels(drawn)


def _as_bytes(picture: Tensor) -> ndarray:
    numbers: ndarray = picture.detach().float().cpu().clamp(0, 1).mul(255).round().numpy().astype(np.uint8)
    return numbers.transpose(1, 2, 0)
