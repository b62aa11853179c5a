"""From samples as they are stored to what a network is given: the type of a stored number is its meaning."""

from __future__ import annotations

import torch
from torch import Tensor


def inputs(stored: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]; int16 -> float32 in [-1, 1); int32 -> int64 ids; float32 stays as it is.

    Raises TypeError for any other type.
    """
    if stored.dtype == torch.uint8:
        return stored.to(torch.float32).div_(255)
    if stored.dtype == torch.int16:
        return stored.to(torch.float32).div_(32768)
    if stored.dtype == torch.int32:
        return stored.to(torch.int64)
    if stored.dtype == torch.float32:
        return stored
    raise TypeError(f"samples of the type {stored.dtype} have no meaning; use uint8, int16, int32 or float32")
