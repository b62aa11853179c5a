"""What pictures share: one palette, and figures as arrays. matplotlib is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PALETTE = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8A6D00", "#56B4E9"),
    *("#332288", "#882255", "#44AA99", "#999933", "#AA4499", "#117733"),
]
"""Okabe and Ito's colours without yellow and black, then Tol's muted ones: distinct with any colour vision."""
DOTS_PER_INCH = 100
TEXT = 10  # points: 14 px


def figure(width: float, height: float) -> Figure:
    """A figure, in inches, that matplotlib keeps no reference to."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    FigureCanvasAgg(drawn)
    return drawn


def pixels(drawn: Figure) -> ndarray:
    """(H, W, 3) uint8."""
    canvas: Any = drawn.canvas
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()
