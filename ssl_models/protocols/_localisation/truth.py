"""What is known of where it sounds: the box of what sounds, and those of what else is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray

from ssl_models.boxes import overlap, there
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
    rows = np.flatnonzero(there(boxes))
    return Sounding(rows, boxes, _others(representation, split, boxes)) if len(rows) else None


def _others(representation: Representation, split: str, own: ndarray) -> list[ndarray]:
    """Of a sample's boxes that which overlaps most with what sounds is what sounds; the others are left."""
    try:
        table = np.asarray(representation.truth(split, "boxes"), np.float64)
    except NeedsTruth:
        return [np.zeros((0, 4))] * len(own)
    found = []
    for row, box in enumerate(own):
        seen = table[table[:, 0] == row]
        shared = overlap(torch.from_numpy(seen[:, 2:6]), torch.from_numpy(box))
        same = int(shared.argmax()) if len(seen) else 0
        kept = (np.arange(len(seen)) != same) & (seen[:, 6] == 0)
        found.append(seen[kept, 2:6])
    return found
