"""A data set in memory: samples, labels where there are any, and the factors that made them where they are known."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Split:
    """images: (N, C, H, W) uint8. labels: (N,) int64 or None. factors: name -> (N,) or (N, k) float32.

    C is 3 for RGB; 4 for RGB and nearness (0: farthest), of which a reader's `channels(**settings)` then tells.
    """

    images: Tensor
    labels: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Dataset:
    """Two splits, the names of the classes (empty: no labels), and the entries that could not be read."""

    train: Split
    test: Split
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
