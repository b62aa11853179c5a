"""A layer's activations as a vector of about a given size, whatever their axes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def pool(activations: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C * s * s), (B, C, T) -> (B, C * s), near `size` numbers, by average pooling to s.

    (B, D) stays as it is. Layers are compared at about equal size, as in Goyal et al. 2019 (arXiv:1905.01235, appendix
    on linear models), where every layer is pooled to about 9,000 numbers.
    """
    if activations.ndim == 2:
        return activations
    channels, *axes = activations.shape[1:]
    if len(axes) == 1:
        return functional.adaptive_avg_pool1d(activations, min(max(1, round(size / channels)), axes[0])).flatten(1)
    side = min(max(1, round((size / channels) ** 0.5)), *axes)
    return functional.adaptive_avg_pool2d(activations, side).flatten(1)
