"""What the protocols' pictures share: an image as colours, its enlargement, and one palette. numpy only."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

PALETTE = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9"),
    *("#332288", "#882255", "#44AA99", "#999933", "#AA4499", "#117733"),
]
"""Okabe and Ito's colours without yellow and black, then Tol's muted ones: distinct with any colour vision."""


def coloured(image: ndarray, times: int = 1) -> ndarray:
    """(C, H, W) uint8 -> (H * times, W * times, 3): each pixel becomes a square of times x times pixels.

    Of more than three channels the first three are shown. Of fewer than three the first is shown as grey.
    """
    colours = np.asarray(image)[[0, 1, 2] if len(image) >= 3 else [0, 0, 0]]
    return np.ascontiguousarray(colours.repeat(times, 1).repeat(times, 2).transpose(1, 2, 0))
