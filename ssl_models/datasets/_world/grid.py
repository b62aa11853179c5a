"""Where several objects of one picture stand: in a grid, at most one in each cell, moved from the middle of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from ssl_models.datasets._world.scene import Scene

CELLS = 2
"""Rows and columns of the grid."""
MOST = CELLS**2
FAR_OUT = 9.0
"""Of the frame's side: where the objects stand that a picture does not have."""


def stand(scenes: Sequence[Scene], cells: Tensor, many: Tensor) -> list[Scene]:
    """The scenes of B pictures' objects, one list entry an object, each in its cell; nothing is seen of absent ones.

    cells: (B, MOST) int64, the cell of each object, every cell once. many: (B,) int64, how many objects a picture has.
    All share the first one's light and background.
    """
    found = []
    own = scenes[0].factors
    shared = {name: own[name] for name in own if name == "light" or "background" in name}
    for number, scene in enumerate(scenes):
        own = scene.factors
        column, row = cells[:, number] % CELLS, cells[:, number] // CELLS
        moved = {
            "size": own["size"] * (1.15 / CELLS),
            "position_x": (column + 0.5) / CELLS - 0.5 + own["position_x"] / CELLS + FAR_OUT * (number >= many),
            "position_y": (row + 0.5) / CELLS - 0.5 + own["position_y"] / CELLS,
        }
        found.append(replace(scene, factors=dict(own) | shared | moved))
    return found
