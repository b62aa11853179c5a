"""What the boxes of training samples tell of where it sounds, without any picture: one place, and one box."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray

from ssl_models.boxes import overlap
from ssl_models.protocols._localisation.measures import of_range, peaks, reached

CANDIDATES = 512
"""Boxes that are compared with all, at most."""


def fixed_place(boxes: ndarray, size: Sequence[int]) -> ndarray:
    """(N, 4) -> x, y (2,): the pixel that lies in most of the boxes; of equal ones that nearest to the middle."""
    down, across = (sides.astype(np.float64) for sides in reached(boxes, size))
    counts = down.T @ across  # (H, W)
    return np.asarray(peaks(of_range(counts[None]))[0])


def fixed_box(boxes: ndarray) -> ndarray:
    """(N, 4) -> (4,): of the boxes that with the largest mean overlap with all of them, of at most CANDIDATES."""
    different = np.unique(boxes, axis=0)  # in an order that does not depend on that of the samples
    rows = np.unique(np.linspace(0, len(different) - 1, CANDIDATES).round().astype(int))
    every = torch.from_numpy(np.ascontiguousarray(boxes, np.float64))
    means = [float(overlap(one, every).mean()) for one in torch.from_numpy(different[rows].astype(np.float64))]
    return np.asarray(different[rows[int(np.argmax(np.round(means, 9)))]])
