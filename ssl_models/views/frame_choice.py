"""Which frames of a clip are shown: in order, where much moves; or close to each other in time.

Letters: B clips, T frames of a clip, K chosen ones, C channels, H W height and width.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.modalities.inputs import inputs
from ssl_models.views.drawing import below, uniform

LEAST = 1e-4
"""Weight of a frame that must not be chosen while there are others, beside an average of 1."""


def take(frames: Tensor, times: Tensor) -> Tensor:
    """(B, T, C, H, W) and (B, K) int64 -> the frames of these times, (B, K, C, H, W)."""
    clip = torch.arange(len(frames), device=frames.device)
    return frames[clip[:, None], times]


def motion(frames: Tensor) -> Tensor:
    """(B, T, C, H, W) as stored, T > 1 -> (B, T): how much a frame differs from those beside it.

    The mean absolute difference of pixels, of values in [0, 1], to the frame before and the one after; the first and
    the last frame have one neighbour. It stands for the magnitude of the optical flow. A moving camera counts too.
    """
    values = inputs(frames).flatten(2)
    steps = (values[:, 1:] - values[:, :-1]).abs().mean(2)  # (B, T - 1)
    before, after = torch.cat([steps[:, :1], steps], 1), torch.cat([steps, steps[:, -1:]], 1)
    return (before + after) / 2


def times_by_weight(generator: Generator, weights: Tensor, count: int) -> Tensor:
    """(B, T) weights >= 0 -> (B, count) different times in order, drawn one after another in proportion to them.

    Each time has the key log(u) / weight, u uniform, and the largest keys are chosen (Efraimidis & Spirakis 2006,
    Information Processing Letters 97). Times of weight 0 are chosen where too few others are left.
    """
    mean = weights.mean(1, keepdim=True)
    shares = torch.where(mean > 0, weights / mean.clamp(min=torch.finfo(weights.dtype).tiny), 1.0)
    keys = uniform(generator, *weights.shape).clamp(min=torch.finfo(torch.float32).tiny).log()
    return (keys / shares.clamp(min=LEAST)).topk(count, 1).indices.sort(1).values


def times_within(generator: Generator, batch: int, total: int, count: int, distance: int) -> Tensor:
    """(batch, count) different times of `total`, at most `distance` apart, in no order.

    A stretch of distance + 1 frames, or of all where there are fewer, is drawn evenly, and then times in it.
    """
    stretch = min(distance + 1, total)
    start = below(generator, total - stretch + 1, batch)
    return start[:, None] + uniform(generator, batch, stretch).topk(count, 1).indices
