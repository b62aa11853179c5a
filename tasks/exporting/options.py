"""What `covey embed` may be asked for. It imports nothing, so that the command line starts at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """layer: whose vectors. clusters, neighbours: how many. coordinates: x and y; None where few rows
    have them. pictures: a small one of each row."""

    layer: str = "pooled"
    clusters: int = 24
    neighbours: int = 10
    coordinates: bool | None = None
    pictures: bool = False


USUAL = Options()
