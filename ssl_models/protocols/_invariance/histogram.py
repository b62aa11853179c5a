"""How far pictures move under each transform, as in figure 7 of Misra & van der Maaten 2020 (arXiv:1912.01991)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from ssl_models.figures import PALETTE, TEXT, figure, pixels

LONGEST = 2.0
"""Of a distance between vectors of unit length."""
BINS = 40


def draw(changes: Mapping[str, ndarray]) -> ndarray:
    """Transform -> (2, N) of `invariance.distances` -> (H, W, 3) uint8: a panel each.

    Bars: the distances of pictures from their own copies; of several copies, the root of the mean square. Dashed: the
    root of the mean square between a picture and the copy of another one.
    """
    drawn = figure(2.1 * len(changes), 1.7)
    for panel, (name, (own, unrelated)) in zip(
        np.atleast_1d(drawn.subplots(1, len(changes), sharey=True)), changes.items(), strict=True
    ):
        panel.hist(np.sqrt(np.maximum(own, 0)), BINS, range=(0, LONGEST), color=PALETTE[0])
        panel.axvline(float(np.sqrt(max(unrelated.mean(), 0))), color="#222222", linestyle=(0, (4, 2)), linewidth=1.2)
        panel.set_title(name, fontsize=TEXT)
        panel.set_xlim(0, LONGEST)
        panel.set_xticks([0, 0.5, 1, 1.5])
        panel.set_yticks([])
        panel.tick_params(labelsize=TEXT - 2)
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
    drawn.subplots_adjust(left=0.01, right=0.985, top=0.86, bottom=0.16, wspace=0.12)
    return pixels(drawn)
