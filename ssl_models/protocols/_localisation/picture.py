"""Heat maps laid over frames: that of a clip's own sound, and beside it that of another clip's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy import ndarray

from ssl_models.figures import TEXT, figure, pixels
from ssl_models.previews import coloured
from ssl_models.protocols._localisation.measures import enlarged

ACROSS, SIDE = 2, 2.0
"""Clips in a row, and inches of a frame's longer side."""
SCALE, STRENGTH = "cividis", 0.6
"""matplotlib's map from blue to yellow, which looks alike with any colour vision, and how much it covers."""


@dataclass(frozen=True)
class Shown:
    """A frame (C, H, W) uint8 and two heat maps (h, w), with a title for each; box: of what sounds, where known."""

    frame: ndarray
    own: ndarray
    other: ndarray
    titles: tuple[str, str]
    box: ndarray | None = None


def draw(clips: Sequence[Shown]) -> ndarray:
    """(H, W, 3) uint8. Frames are grey; both maps of a clip have one scale, from the least to the most of the two."""
    rows = -(-len(clips) // ACROSS)
    drawn = figure(2 * ACROSS * SIDE + 1.2, rows * (SIDE + 0.4) + 0.1)
    grid = drawn.subplots(rows, 2 * ACROSS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    layer = None
    for place, clip in enumerate(clips):
        least, most = min(clip.own.min(), clip.other.min()), max(clip.own.max(), clip.other.max())
        for side, heat in enumerate((clip.own, clip.other)):
            axes = grid[place // ACROSS, place % ACROSS * 2 + side]
            axes.imshow(coloured(clip.frame).mean(2), cmap="gray", vmin=0, vmax=255)  # colours are those of the heat
            shown = enlarged((heat[None] - least) / (most - least if most > least else 1), clip.frame.shape[1:])[0]
            layer = axes.imshow(shown, cmap=SCALE, alpha=STRENGTH, vmin=0, vmax=1)
            axes.set_title(clip.titles[side], fontsize=TEXT - 1)
            if clip.box is not None:
                _outline(axes, clip.box)
    drawn.subplots_adjust(left=0.01, right=0.89, top=1 - 0.3 / drawn.get_figheight(), bottom=0.01, wspace=0.05)
    if layer is not None:
        bar = drawn.colorbar(layer, cax=drawn.add_axes((0.91, 0.25, 0.02, 0.5)), ticks=[0, 1])
        bar.ax.set_yticklabels(["least", "most"], fontsize=TEXT - 1)
        bar.set_label("heat, of both maps of a clip", fontsize=TEXT - 1)
    return pixels(drawn)


def _outline(axes: Any, box: ndarray) -> None:
    """A white line on a wider black one, which is seen on any frame."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = (float(edge) - 0.5 for edge in box)
    for colour, width in (("black", 3.0), ("white", 1.2)):
        axes.add_patch(
            Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=width)
        )
