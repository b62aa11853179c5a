"""What `covey embed` and `covey export` may be asked for. Nothing is imported, so that both start at once."""

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
FORMS = ("torchvision", "timm", "onnx", "safetensors")
"""The forms that an encoder is exported in."""
