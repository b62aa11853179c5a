"""True and learnt couplings: as matrices side by side, and against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.figures import PALETTE, TEXT, figure, pixels

SCALE = "RdBu_r"
"""matplotlib's map from blue, below 0, to red, above 0."""
ROUNDING = 1e-4
"""A share of a scale that a value may be beyond it without being told."""


def picture(true: ndarray, learnt: ndarray, grid: Sequence[int] | None) -> ndarray:
    """(H, W, 3) uint8, of couplings (D, D). grid: height and width of the lattice of the units.

    The scale is that of the true ones; it is pointed at an end that learnt ones are beyond.
    """
    drawn = figure(9.2, 3.1)
    most = float(np.abs(true).max())
    for left, title, values in ((0.01, "true", true), (0.31, "learnt", learnt)):
        axes = drawn.add_axes((left, 0.1, 0.29, 0.8))
        colours = axes.imshow(values, cmap=SCALE, vmin=-most, vmax=most, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=TEXT)
        if grid is not None:
            axes.set_xlabel(f"units of {grid[0]} x {grid[1]}, row by row", fontsize=TEXT - 2)
    bar = drawn.colorbar(colours, cax=drawn.add_axes((0.615, 0.1, 0.012, 0.8)), extend=beyond(learnt, most))
    bar.ax.tick_params(labelsize=TEXT - 2)
    _against(drawn.add_axes((0.76, 0.17, 0.23, 0.73)), true, learnt)
    return pixels(drawn)


def beyond(values: ndarray, most: float) -> str:
    """Which ends of a scale from -most to most some values lie beyond, as matplotlib names them."""
    end = (1 + ROUNDING) * most
    below, above = bool(values.min() < -end), bool(values.max() > end)
    return {(True, True): "both", (True, False): "min", (False, True): "max"}.get((below, above), "neither")


def _against(axes: Any, true: ndarray, learnt: ndarray) -> None:
    pairs = np.triu_indices(len(true), 1)
    across, up = true[pairs], learnt[pairs]
    most = 1.1 * float(np.abs(across).max())
    axes.plot([-most, most], [-most, most], color="#999999", linewidth=1)
    axes.plot(across, up, "o", color=PALETTE[0], markersize=3, alpha=0.7)
    axes.set(xlim=(-most, most))
    axes.locator_params(axis="x", nbins=4)
    axes.set_xlabel("true", fontsize=TEXT - 1)
    axes.set_ylabel("learnt", fontsize=TEXT - 1)
    axes.tick_params(labelsize=TEXT - 2)
