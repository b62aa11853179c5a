"""Several crops of each picture in one step, where all of them look for the same row of a bank.

Those of one picture lie next to each other: B pictures, n crops each, (B * n, ...).
"""

from __future__ import annotations

from torch import Tensor


def repeated(rows: Tensor, crops: int) -> Tensor:
    """(B, ...) -> (B * crops, ...)."""
    return rows.repeat_interleave(crops, dim=0) if crops > 1 else rows


def mean_of(features: Tensor, crops: int) -> Tensor:
    """(B * crops, D) -> (B, D), the mean over the crops of each picture."""
    return features.reshape(-1, crops, features.shape[1]).mean(1) if crops > 1 else features
