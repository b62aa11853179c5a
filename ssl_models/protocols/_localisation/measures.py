"""How well heat maps tell where an object is. Legend: B samples, (h, w) a map's size, (H, W) a frame's, in pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy import ndarray
from torch.nn import functional

NEAR = 1e-6
"""Of a map's range: values that are so near to the maximum are equal to it, but for rounding."""


def enlarged(heat: ndarray, size: Sequence[int]) -> ndarray:
    """(B, h, w) -> (B, H, W), bilinear, as the pixels of a picture are enlarged. Raises ValueError where not finite."""
    if not np.isfinite(heat).all():
        raise ValueError("the heat maps hold numbers that are not finite")
    maps = torch.from_numpy(np.asarray(heat, np.float64))[:, None]
    return np.asarray(functional.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)[:, 0])


def of_range(heat: ndarray) -> ndarray:
    """(B, h, w) -> the same with 0 for each map's minimum and 1 for its maximum; 0 throughout where they are equal."""
    maps = np.asarray(heat, np.float64)
    least = maps.min((1, 2), keepdims=True)
    reach = maps.max((1, 2), keepdims=True) - least
    return np.where(reach > 0, (maps - least) / np.where(reach > 0, reach, 1), 0)


def within(boxes: ndarray, size: Sequence[int]) -> ndarray:
    """(B, 4) left, top, right, bottom -> (B, H, W) bool: the pixels whose centres lie in the box."""
    down, across = reached(boxes, size)
    return np.asarray(down[:, :, None] & across[:, None, :])


def reached(boxes: ndarray, size: Sequence[int]) -> tuple[ndarray, ndarray]:
    """(B, 4) -> (B, H) and (B, W) bool: the rows and the columns of pixels whose centres a box holds."""
    left, top, right, bottom = (edge[:, None] for edge in np.asarray(boxes, np.float64).T)
    y, x = (np.arange(length) + 0.5 for length in size)
    return (top <= y) & (y < bottom), (left <= x) & (x < right)


def holds(boxes: ndarray, places: ndarray) -> ndarray:
    """(B, 4) and x, y (B, 2), or (1, 2) -> (B,) bool: whether a place lies in its box."""
    return np.asarray(((boxes[:, :2] <= places) & (places < boxes[:, 2:])).all(1))


def peaks(maps: ndarray) -> ndarray:
    """(B, H, W) of range 1 -> x, y (B, 2): the centre of the pixel of the maximum.

    Of several pixels with the maximum it is that nearest to the middle of the frame, of equally near ones the first: a
    map that says nothing says the middle.
    """
    _, height, width = maps.shape
    y, x = (np.arange(length) + 0.5 - length / 2 for length in (height, width))
    distance = np.square(y)[:, None] + np.square(x)
    highest = maps >= maps.max((1, 2), keepdims=True) - NEAR
    place = np.where(highest, distance, np.inf).reshape(len(maps), -1).argmin(1)
    return np.stack([place % width, place // width], 1) + 0.5


def inside(maps: ndarray, boxes: ndarray) -> ndarray:
    """(B,) bool: whether the maximum of a map lies in the box."""
    return holds(boxes, peaks(maps))


def overlaps(regions: ndarray, boxes: ndarray) -> ndarray:
    """(B,): pixels that lie in a region (B, H, W) bool and in the box, of those that lie in one of them."""
    own = within(boxes, regions.shape[1:])
    both, either = (regions & own).sum((1, 2)), (regions | own).sum((1, 2))
    return np.asarray(both / np.maximum(either, 1))


def preferred(maps: ndarray, boxes: ndarray, others: Sequence[ndarray]) -> ndarray:
    """(B,): of the boxes of other objects the share whose mean heat is lower; equal ones count half.

    others: of each sample (M, 4). NaN for a sample without others, or with a box that holds no pixel's centre.
    """
    found, size = np.full(len(maps), np.nan), maps.shape[1:]
    for row, (map_, box, rest) in enumerate(zip(maps, boxes, others, strict=True)):
        masks = within(np.concatenate([box[None], rest]), size)
        if len(rest) and masks.any((1, 2)).all():
            own, *means = (map_[mask].mean() for mask in masks)
            gaps = own - np.array(means)
            found[row] = np.where(np.abs(gaps) <= NEAR, 0.5, gaps > 0).mean()
    return found


def other_clips(groups: ndarray, seed: int) -> ndarray:
    """(B,) -> (B,) int64: for each sample another one, drawn from those of other groups; from all, if there is one.

    B is at least 2.
    """
    count = len(groups)
    _, ids, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(sizes) == 1:
        ids, sizes = np.arange(count), np.ones(count, np.int64)
    order = np.argsort(ids, kind="stable")  # samples of a group lie next to each other
    first = np.cumsum(sizes) - sizes
    drawn = np.random.default_rng(seed).integers(0, count - sizes[ids])
    return np.asarray(order[np.where(drawn >= first[ids], drawn + sizes[ids], drawn)])


def clips_unseen(labels: ndarray, present: ndarray, seed: int) -> ndarray:
    """(B,) and (B, K), not 0 for classes that a sample shows -> (B,) int64: another clip, of a class not shown.

    Drawn from all such clips; where there is none, as `other_clips` does. B is at least 2.
    """
    counts = np.bincount(labels, minlength=present.shape[1])
    shown = present != 0
    shown[np.arange(len(labels)), labels] = True
    ends = np.where(shown, 0, counts).cumsum(1)  # (B, K): of the classes' shares of the clips to draw from
    number = np.random.default_rng(seed).integers(0, np.maximum(ends[:, -1], 1))
    label = (number[:, None] >= ends).sum(1).clip(max=present.shape[1] - 1)
    place = counts.cumsum()[label] - ends[np.arange(len(labels)), label] + number
    order = np.argsort(labels, kind="stable")  # clips of a class lie next to each other
    unseen = order[place.clip(max=len(labels) - 1)]
    return np.where(ends[:, -1] > 0, unseen, other_clips(labels, seed))
