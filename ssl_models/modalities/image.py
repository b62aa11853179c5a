"""Pictures: (B, C, H, W), stored as uint8 in 0..255, and given to an encoder as float32 in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.modalities.inputs import inputs
from ssl_models.views.geometric import random_crop_flip

PARTS = ("images", "frames")
AXES = 3


@dataclass(frozen=True)
class MildViews:
    """(B, C, H, W) uint8 -> (B, C, *size), float32 in [0, 1]: cropped and flipped, drawn for each sample.

    Such views keep colours, light and most of a picture. The frames of a clip (B, T, C, H, W) are all cropped and
    flipped alike. Raises ValueError for a value out of range.

    smallest_crop: least area of the random resized crop, as a share of the picture; 1 for the whole picture. Default
        0.5. ImageNet recipes take 0.08 (Szegedy et al. 2015, arXiv:1409.4842, section 6), for pictures of 224 px.
    flip: probability of a left-right flip. Default 0.5, as is usual.
    size: height and width of the views, which pictures may exceed; None for those of the pictures. No setting.
    """

    smallest_crop: float = 0.5
    flip: float = 0.5
    size: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        require_positive(smallest_crop=self.smallest_crop)
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip)

    def __call__(self, samples: Tensor, generator: Generator) -> Tensor:
        pictures = inputs(samples)
        channels = pictures.flatten(1, -3)  # of all frames: (B, T * C, H, W)
        found = random_crop_flip(channels, generator, smallest=self.smallest_crop, flip=self.flip, size=self.size)
        return found.view(*pictures.shape[:-2], *found.shape[-2:])
