"""The view of a picture that contrastive methods share: crop and flip, colour, and blur where asked for."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.views.geometric import random_crop_flip
from ssl_models.views.photometric import colour_jitter, random_blur, require_jitter


@dataclass(frozen=True)
class Augmentation:
    """(B, C, H, W) float in [0, 1] -> the same shape, with parameters drawn for each sample.

    smallest_crop: least area of the crop. flip, grey, blur: probabilities. strength, hue: of the colour jitter.
    Raises ValueError for a value out of range.
    """

    smallest_crop: float
    flip: float
    strength: float
    hue: float
    grey: float
    blur: float = 0.0

    def __post_init__(self) -> None:
        require_positive(smallest_crop=self.smallest_crop)
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip, grey=self.grey, blur=self.blur)
        require_jitter(self.strength, self.hue)

    def __call__(self, pictures: Tensor, generator: Generator) -> Tensor:
        view = random_crop_flip(pictures, generator, smallest=self.smallest_crop, flip=self.flip)
        view = colour_jitter(view, generator, strength=self.strength, hue=self.hue, grey=self.grey)
        return random_blur(view, generator, self.blur) if self.blur else view
