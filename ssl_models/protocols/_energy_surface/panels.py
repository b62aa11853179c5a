"""The pictures of energy_surface: densities and slopes of two numbers; samples and filters of 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.figures import TEXT, figure, pixels
from ssl_models.partition import Extent

FLOOR = -6.0
"""Nats below the highest log density that are drawn darkest."""
SLOPES = 12.0
"""Nats a deviation that are drawn brightest."""
DENSITY, SLOPE, SIGNED = "cividis", "bone", "RdBu_r"
DOTS = ("white", "#FF7F50")
"""Of samples, and of what is drawn from anywhere."""
SHOWN = 128
"""Samples of 0 and 1 on a sheet, in rows of ACROSS."""
ACROSS = 16


def surface(
    extent: Extent,
    window: Extent,
    maps: Sequence[tuple[str, ndarray]],
    slope: ndarray,
    flat: ndarray,
    dots: Sequence[Sequence[ndarray]],
    paths: Any,
) -> ndarray:
    """(H, W, 3) uint8. extent: of the grid; window: what of it is shown.

    maps: title and log density (G, G) [first][second], the true one first where it is known. slope: (G, G). flat:
    (G, G) bool, flat places off the data, outlined. dots: some (M, 2) for each map, in DOTS. paths: (S, K, 2), of
    steepest descent, each from a disc.
    """
    count = len(maps) + 1
    drawn = figure(3.1 * count + 0.1, 3.5)
    edges = (*extent[0], *extent[1])
    top = max(float(values.max()) for _, values in maps)
    for place, ((title, values), groups) in enumerate(zip(maps, dots, strict=True)):
        axes = drawn.add_subplot(1, count, place + 1)
        shown = np.maximum(values - top, FLOOR)
        axes.imshow(shown.T, origin="lower", extent=edges, cmap=DENSITY, vmin=FLOOR, vmax=0, interpolation="bilinear")
        for points, colour in zip(groups, DOTS, strict=False):
            axes.plot(points[:, 0], points[:, 1], ".", color=colour, markersize=1.6, alpha=0.8)
        _plain(axes, window, title)
    axes = drawn.add_subplot(1, count, count)
    axes.imshow(slope.T, origin="lower", extent=edges, cmap=SLOPE, vmin=0, vmax=SLOPES, interpolation="bilinear")
    if flat.any() and not flat.all():
        axes.contour(flat.T.astype(float), levels=[0.5], origin="lower", extent=edges, colors="#D55E00", linewidths=1)
    axes.plot(paths[:, :, 0], paths[:, :, 1], color="#56B4E9", linewidth=0.8)
    axes.plot(paths[0, :, 0], paths[0, :, 1], "o", color="#56B4E9", markersize=3)
    _plain(axes, window, "slope; outlined: flat; lines: descent")
    drawn.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.91, wspace=0.03)
    return pixels(drawn)


def _plain(axes: Any, window: Extent, title: str) -> None:
    axes.set(xlim=window[0], ylim=window[1], xticks=[], yticks=[])
    axes.set_title(title, fontsize=TEXT - 1)


def sheets(model: ndarray, data: ndarray, size: Sequence[int]) -> ndarray:
    """(H, W, 3) uint8: samples of the model to the left, of the data to the right. (M, D) each; size: height, width."""
    drawn = figure(9.2, 2.7)
    for place, (title, rows) in enumerate((("drawn from the model", model), ("test samples", data)), start=1):
        axes = drawn.add_subplot(1, 2, place)
        axes.imshow(_tiled(rows[:SHOWN].reshape(-1, *size)), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_title(title, fontsize=TEXT)
    drawn.tight_layout(pad=0.4)
    return pixels(drawn)


def filters(weights: ndarray, size: Sequence[int]) -> ndarray:
    """(H, W, 3) uint8: weights (D, H) of each hidden unit as a small picture, the largest first, on one scale."""
    order = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")
    shown = weights[:, order[:64]].T.reshape(-1, *size)
    most = float(np.abs(shown).max()) or 1.0
    across = min(ACROSS, len(shown))
    rows = -(-len(shown) // across)
    drawn = figure(9.2, 0.35 + 8.2 / across * rows * size[0] / size[1])
    axes = drawn.add_axes((0.01, 0.02, 0.9, 0.96))
    colours = axes.imshow(_tiled(shown, across, np.nan), cmap=SIGNED, vmin=-most, vmax=most, interpolation="nearest")
    axes.set_axis_off()
    bar = drawn.colorbar(colours, cax=drawn.add_axes((0.93, 0.1, 0.012, 0.8)))
    bar.ax.tick_params(labelsize=TEXT - 2)
    return pixels(drawn)


def _tiled(pictures: ndarray, across: int = ACROSS, between: float = 0.4) -> ndarray:
    """(K, h, w) -> one picture, rows of `across`, with a line of `between` between them."""
    rows = -(-len(pictures) // across)
    padded = np.pad(
        pictures.astype(np.float64), ((0, rows * across - len(pictures)), (0, 1), (0, 1)), constant_values=between
    )
    _, height, width = padded.shape
    tiled = padded.reshape(rows, across, height, width).transpose(0, 2, 1, 3).reshape(rows * height, across * width)
    return tiled[:-1, :-1]
