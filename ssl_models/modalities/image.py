"""Pictures: (B, C, H, W), stored as uint8 in 0..255, and given to an encoder as float32 in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.views.geometric import random_crop_flip


def to_float(samples: Tensor) -> Tensor:
    """uint8 in 0..255 -> float32 in [0, 1]."""
    return samples.to(torch.float32).div_(255)


def pool(activations: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C * s * s) near `size` numbers, by average pooling to s x s; (B, D) stays as it is.

    Layers are compared at about equal size, as in Goyal et al. 2019 (arXiv:1905.01235, appendix on linear models),
    where every layer is pooled to about 9,000 numbers.
    """
    if activations.ndim == 2:
        return activations
    channels, height, width = activations.shape[1:]
    side = min(max(1, round((size / channels) ** 0.5)), height, width)
    return functional.adaptive_avg_pool2d(activations, side).flatten(1)


@dataclass(frozen=True)
class MildViews:
    """(B, C, H, W) uint8 -> the same shape, float32 in [0, 1]: cropped and flipped, drawn for each sample.

    Such views keep colours, light and most of a picture. Raises ValueError for a value out of range.

    smallest_crop: least area of the random resized crop, as a share of the picture; 1 for the whole picture. Default
        0.5. ImageNet recipes take 0.08 (Szegedy et al. 2015, arXiv:1409.4842, section 6), for pictures of 224 px.
    flip: probability of a left-right flip. Default 0.5, as is usual.
    """

    smallest_crop: float = 0.5
    flip: float = 0.5

    def __post_init__(self) -> None:
        require_positive(smallest_crop=self.smallest_crop)
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip)

    def __call__(self, samples: Tensor, generator: Generator) -> Tensor:
        return random_crop_flip(to_float(samples), generator, smallest=self.smallest_crop, flip=self.flip)
