"""What is known of where it sounds: the box of what sounds, and those of what else is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from ssl_models.errors import NeedsTruth
from ssl_models.protocols._common.score import Representation


@dataclass(frozen=True)
class Sounding:
    """rows: (K,) int64, the samples of which it is known. boxes: (N, 4), of what sounds in each; 0 where unknown.

    others: of each of the N samples (M, 4), the boxes of other objects, without difficult ones.
    """

    rows: ndarray
    boxes: ndarray
    others: list[ndarray]


def sounding(representation: Representation, split: str, count: int) -> Sounding | None:
    """Of `count` samples of a split; None where no box is known. Raises ValueError for boxes that are none."""
    try:
        boxes = np.asarray(representation.truth(split, "source_box"), np.float64)
    except NeedsTruth:
        return None
    if boxes.shape != (count, 4) or not np.isfinite(boxes).all():
        raise ValueError(f"the {split} source_box of shape {boxes.shape} must be ({count}, 4) finite numbers")
    rows = np.flatnonzero((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
    return Sounding(rows, boxes, _others(representation, split, boxes)) if len(rows) else None


def _others(representation: Representation, split: str, own: ndarray) -> list[ndarray]:
    """Of a sample's boxes that which overlaps most with what sounds is what sounds; the others are left."""
    try:
        table = np.asarray(representation.truth(split, "boxes"), np.float64)
    except NeedsTruth:
        return [np.zeros((0, 4))] * len(own)
    found = []
    for row, box in enumerate(own):
        there = table[table[:, 0] == row]
        same = _overlap(there[:, 2:6], box).argmax() if len(there) else 0
        kept = (np.arange(len(there)) != same) & (there[:, 6] == 0)
        found.append(there[kept, 2:6])
    return found


def _overlap(boxes: ndarray, box: ndarray) -> ndarray:
    """(M, 4) and (4,) -> (M,): intersection over union."""
    ends = np.minimum(boxes[:, 2:], box[2:]) - np.maximum(boxes[:, :2], box[:2])
    both = ends.clip(min=0).prod(1)
    return np.asarray(both / ((boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod() - both))
