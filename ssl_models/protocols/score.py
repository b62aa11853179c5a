"""What a protocol is given, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from numpy import ndarray


@dataclass(frozen=True)
class Score:
    """One number with its interval. layer: "" where a protocol does not go by layers; low, high: 95 % interval."""

    layer: str
    metric: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Representation:
    """A frozen representation of two splits, read when asked for: a protocol pays only for what it uses.

    layers: names from first to last, ending with "pooled", the encoder's own output.
    features(split, layer) -> (N, D) float array (may be memory-mapped); split is "train" or "test".
    labels(split) -> (N,) int64; raises NeedsLabels where the data have none.
    classes: how many there are.
    """

    layers: tuple[str, ...]
    features: Callable[[str, str], ndarray]
    labels: Callable[[str], ndarray]
    classes: int
