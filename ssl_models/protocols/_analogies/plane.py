"""The pairs of a section of analogies: whether their differences point one way, and the plane in which they lie.

Legend: P pairs (P, 2): the ids of a word and of its counterpart, as of a country and of its capital. V words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.figures import PALETTE, TEXT, figure, pixels
from ssl_models.protocols._analogies.labels import place_labels
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.score import Score
from ssl_models.protocols._common.vocabulary import Vocabulary

DRAWN = 20
"""The most pairs in the picture."""
MEASURED = 1000
"""The most pairs that are compared with one another."""


def pairs_of(asked: ndarray) -> ndarray:
    """Questions (Q, 4) -> (P, 2): the pairs (a, b) and (c, d) that they are made of, each once."""
    return np.asarray(np.unique(asked.reshape(-1, 2), axis=0))


def parallel(unit: ndarray, pairs: ndarray, seed: int) -> Score | None:
    """The mean cosine between the differences of any two pairs without a common word; None where there are no such.

    unit: (V, D). Differences that share a word have a cosine of one half by chance. A difference of zero has the cosine
    0 to any other. Of more than 1,000 pairs the first are taken.
    """
    pairs = pairs[:MEASURED]
    difference = (unit[pairs[:, 1]] - unit[pairs[:, 0]]).astype(np.float64)
    difference /= np.maximum(np.linalg.norm(difference, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    apart = (pairs[:, None, :, None] != pairs[None, :, None, :]).all((2, 3)).astype(np.float64)  # (P, P)
    if not apart.any():
        return None
    cosines = np.round(difference @ difference.T, 6) * apart

    def mean(drawn: ndarray) -> float:
        times = np.bincount(drawn, minlength=len(pairs)).astype(np.float64)
        compared = float(times @ apart @ times)
        return float(times @ cosines @ times) / compared if compared else float("nan")

    low, high = bootstrap(mean, len(pairs), seed=seed)
    return Score("", "parallel", mean(np.arange(len(pairs))), low, high)


def draw(there: Vocabulary, pairs: ndarray, section: str) -> ndarray:
    """(H, W, 3) uint8: an arrow from each first word to its second, on the principal components of these words.

    Shown are the pairs of the most frequent words: the rarer word of a pair counts. Both axes have one scale, so that
    arrows are parallel in the picture where they are in the plane.
    """
    pairs = pairs[np.argsort(there.ranks[pairs].max(1), kind="stable")[:DRAWN]]
    words, rows = np.unique(pairs, return_inverse=True)
    rows = rows.reshape(pairs.shape)
    points, shares = components(there.unit[words])
    points = points * np.where((points[rows[:, 1]] - points[rows[:, 0]]).sum(0) < 0, -1, 1)  # arrows go right and up
    arrows = points[rows[:, 0]], points[rows[:, 1]]
    drawn = figure(11.0, 8.0)
    axes = drawn.add_axes((0.07, 0.07, 0.91, 0.88))
    _arrows(axes, *arrows)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.09)
    axes.set_title(section.replace("_", " "), fontsize=TEXT + 2)
    axes.tick_params(labelsize=TEXT - 2, colors="#666666")
    axes.spines[:].set_color("#CCCCCC")
    for name, label, share in (("first", axes.set_xlabel, shares[0]), ("second", axes.set_ylabel, shares[1])):
        label(f"{name} principal component ({share:.0%} of the variance)", fontsize=TEXT)
    sides = [(there.words[words[row]], points[row], side) for side in (0, 1) for row in np.unique(rows[:, side])]
    place_labels(drawn, axes, sides, arrows)
    return pixels(drawn)


def components(vectors: ndarray) -> tuple[ndarray, ndarray]:
    """(N, D) -> (N, 2), the first two principal components, and their shares of the variance.

    Components that there are not are 0.
    """
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    shares = np.square(lengths[:2]) / max(float(np.square(lengths).sum()), np.finfo(np.float64).tiny)
    missing = 2 - len(shares)
    return np.pad((left * lengths)[:, :2], ((0, 0), (0, missing))), np.pad(shares, (0, missing))


def _arrows(axes: Any, begins: ndarray, ends: ndarray) -> None:
    for begin, end in zip(begins, ends, strict=True):
        line = {"arrowstyle": "-|>", "color": "#888888", "linewidth": 1.0, "shrinkA": 4, "shrinkB": 4}
        axes.annotate("", xy=end, xytext=begin, arrowprops=line)
    for points, colour, marker in ((begins, PALETTE[0], "o"), (ends, PALETTE[1], "s")):
        axes.scatter(points[:, 0], points[:, 1], s=30, c=colour, marker=marker, zorder=3, linewidths=0)
