"""A layer's features as unit vectors, checked; what protocols on directions share. numpy only."""

from __future__ import annotations

from ssl_models.directions import Directions
from ssl_models.protocols._common.score import Representation


def directions(representation: Representation, split: str, layer: str, samples: int | None = None) -> Directions:
    """A layer's features. Raises ValueError for features that are no table or not one row for each of the samples."""
    stored = representation.features(split, layer)
    if stored.ndim != 2 or (samples is not None and len(stored) != samples):
        known = "" if samples is None else f" for {samples} labels"
        raise ValueError(f"layer '{layer}' has {split} features of shape {stored.shape}{known}")
    return Directions(stored, f"layer '{layer}' has {split}")
