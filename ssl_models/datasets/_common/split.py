"""A data set in memory: samples, labels where there are any, and the factors and annotations that are known.

Annotations, each under its kind in `Split.truth`; lengths are pixels of `Split.images`, x to the right and y down, and
pixel (0, 0) covers [0, 1) both ways. K classes, P points, M boxes of all N samples together:

    boxes      (M, 7) float32: sample, class, left, top, right, bottom, difficult (1 where a score must not count it)
    present    (N, K) int8: whether a sample shows a class; -1 where it shows difficult ones only, which do not count
    points     (N, P, 3) float32: x, y, visible (0: not to be scored)
    extent     (N,) float32: the length that errors of points are measured by, of a torso or an object; 0 where unknown
    normals    (N, 3, H, W) float16: unit vectors, x right, y down, z towards the viewer; all 0 where unknown
    masks      (N, H, W) uint8: 0, or a number from 1 that each object of a sample has for itself
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Split:
    """images: (N, C, H, W) uint8. labels: (N,) int64 or None. factors: name -> (N,) or (N, k) float32.

    C is 3 for RGB, and 4 for RGB and nearness (0: farthest); a reader with 4 channels has a function
    `channels(**settings)`.
    """

    images: Tensor
    labels: Tensor | None = None
    factors: dict[str, Tensor] = field(default_factory=dict)
    truth: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Dataset:
    """Two splits, the names of the classes (empty: no labels), and the entries that could not be read.

    skipped: a text for each entry that was left out, with its name and the reason. points: names of the points in
        `Split.truth`. notes: what else its user should know: files passed over, by suffix; how greys were scaled.
    """

    train: Split
    test: Split
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
