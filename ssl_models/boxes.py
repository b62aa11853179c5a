"""Boxes (..., 4) left, top, right, bottom in pixels, all 0 where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # files that only ask whether there is a box do not import torch
    from numpy import ndarray
    from torch import Tensor

    Array = TypeVar("Array", Tensor, ndarray)


def there(boxes: Array) -> Array:
    """(..., 4) -> (...) bool: whether there is a box."""
    found: Array = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    return found


def overlap(first: Tensor, second: Tensor) -> Tensor:
    """(..., 4) and (..., 4), each with each -> (...): intersection over union."""
    import torch

    low, high = torch.maximum(first[..., :2], second[..., :2]), torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(-1) for boxes in (first, second)]
    return shared / (areas[0] + areas[1] - shared)
