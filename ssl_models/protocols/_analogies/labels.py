"""Words beside their dots in a picture, where they cover as little as they can."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from ssl_models.figures import PALETTE, TEXT

GAPS = (8, 16, 26)
"""How far a word may lie from its dot, in pixels."""
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
SPACE = 6
"""Pixels between two words on one line."""
ALONG = 40
"""Points on an arrow by which it is seen whether a word covers it."""


class Box(NamedTuple):
    """In pixels, y up. gap: how far it lies from the dot of its word."""

    left: float
    bottom: float
    right: float
    top: float
    gap: float


def place_labels(
    drawn: Any, axes: Any, words: Sequence[tuple[str, ndarray, int]], arrows: tuple[ndarray, ndarray]
) -> None:
    """Writes each word near its point, one after the other, where it covers the least of dots, arrows and words.

    words: (text, (2,), 0 or 1 for the begin or the end of an arrow). arrows: begins and ends, (P, 2) each.
    """
    drawn.canvas.draw()  # settles where points lie
    renderer, frame = drawn.canvas.get_renderer(), axes.get_window_extent()
    begins, ends = (axes.transData.transform(points) for points in arrows)
    steps = np.linspace(0, 1, ALONG)[:, None, None]
    lines = (begins + (ends - begins) * steps).reshape(-1, 2)
    dots = np.concatenate([begins, ends])
    taken: list[Box] = []
    back = axes.transData.inverted()
    for text, point, side in words:
        label = axes.text(0, 0, text, fontsize=TEXT, color=PALETTE[side], ha="center", va="center", zorder=4)
        size = label.get_window_extent(renderer)
        boxes = _around(axes.transData.transform(point), size.width, size.height)
        costs = [_cost(box, taken, dots, lines, frame) for box in boxes]
        best = boxes[int(np.argmin(costs))]
        taken.append(best)
        label.set_position(back.transform(((best.left + best.right) / 2, (best.bottom + best.top) / 2)))
        if best.gap > GAPS[0]:  # a thin line tells whose word it is
            x, y = axes.transData.transform(point)
            edge = back.transform((np.clip(x, best.left, best.right), np.clip(y, best.bottom, best.top)))
            line = {"arrowstyle": "-", "color": PALETTE[side], "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
            axes.annotate("", xy=point, xytext=edge, arrowprops=line)


def _around(centre: ndarray, width: float, height: float) -> list[Box]:
    """Boxes around a point, the nearest first."""
    boxes = []
    for gap in GAPS:
        for right, up in DIRECTIONS:
            x, y = centre[0] + right * (width / 2 + gap), centre[1] + up * (height / 2 + gap)
            boxes.append(Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, gap))
    return boxes


def _cost(box: Box, taken: Sequence[Box], dots: ndarray, lines: ndarray, frame: Any) -> float:
    """What a box covers: words and the edge count most, then dots, then arrows and its distance."""
    words = sum(_meet(box, other) for other in taken)
    outside = box.left < frame.x0 or box.bottom < frame.y0 or box.right > frame.x1 or box.top > frame.y1
    return 100.0 * words + 100.0 * outside + 20.0 * _inside(box, dots) + 0.5 * _inside(box, lines) + box.gap / 8


def _meet(box: Box, other: Box) -> bool:
    beside = box.right + SPACE < other.left or other.right + SPACE < box.left
    return not (beside or box.top < other.bottom or other.top < box.bottom)


def _inside(box: Box, points: ndarray) -> int:
    """How many of some points (N, 2) a box covers, with a margin of 4 pixels."""
    left, bottom, right, top = box.left - 4, box.bottom - 4, box.right + 4, box.top + 4
    inside = (points[:, 0] > left) & (points[:, 0] < right) & (points[:, 1] > bottom) & (points[:, 1] < top)
    return int(inside.sum())
