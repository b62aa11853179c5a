"""The view of a picture that contrastive methods share: crop and flip, colour jitter, and what may follow it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.views.geometric import random_crop_flip
from ssl_models.views.photometric import (
    colour_jitter,
    random_blur,
    random_gamma,
    random_inversion,
    random_solarise,
    require_jitter,
)


@dataclass(frozen=True)
class Augmentation:
    """(B, C, H, W) float in [0, 1] -> (B, C, *size), with parameters drawn for each sample.

    Crop, flip, colour jitter, greyscale and blur, as in SimCLR (Chen et al. 2020, arXiv:2002.05709, appendix A), whose
    values are called the paper's. Pictures without three channels have no hue, saturation or grey: only brightness and
    contrast change. Raises ValueError for a value out of range.

    smallest_crop: least area of the random resized crop, as a share of the picture. Default 0.2, paper 0.08.
    flip: probability of a left-right flip. Default 0.5, paper 0.5.
    strength: of the jitter of brightness, contrast and saturation, see `colour_jitter`. Default 0.5. Paper 1 for
        ImageNet, and 0.5 for CIFAR-10 (appendix B.9).
    hue: largest turn of the hue, as a share of the circle. Default 0.1. Paper 0.2 * strength, which is 0.1 here. 0.5
        reaches every hue from every other: for data whose colours tell nothing.
    grey: probability that a sample becomes grey. Default 0.2, paper 0.2.
    blur: probability that a sample is blurred. Default 0. Paper 0.5 at 224 px, and none for CIFAR-10.
    solarise: probability that all values of 1/2 and above are inverted (Grill et al. 2020, arXiv:2006.07733). Default
        0. Paper: not there.
    invert: probability that all values are inverted. Default 0. Own.
    gamma: probability that values are raised to a power whose logarithm is U(-1, 1). Default 0. Own.
    largest_crop: largest area of the random resized crop, for the small views of a multi-crop. Default 1. Paper 1.
    size: height and width of the views, which pictures may exceed; None for those of the pictures. No setting.
    """

    smallest_crop: float = 0.2
    flip: float = 0.5
    strength: float = 0.5
    hue: float = 0.1
    grey: float = 0.2
    blur: float = 0.0
    solarise: float = 0.0
    invert: float = 0.0
    gamma: float = 0.0
    largest_crop: float = 1.0
    size: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        require_positive(smallest_crop=self.smallest_crop)
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip, grey=self.grey, blur=self.blur)
        require_fraction(solarise=self.solarise, invert=self.invert, gamma=self.gamma, largest_crop=self.largest_crop)
        require_jitter(self.strength, self.hue)

    def __call__(self, pictures: Tensor, generator: Generator) -> Tensor:
        area = {"smallest": self.smallest_crop, "largest": self.largest_crop}
        return self.colours(random_crop_flip(pictures, generator, **area, flip=self.flip, size=self.size), generator)

    def colours(self, pictures: Tensor, generator: Generator) -> Tensor:
        """(B, C, H, W) -> the same shape: all that follows the crop and the flip."""
        view = colour_jitter(pictures, generator, strength=self.strength, hue=self.hue, grey=self.grey)
        for probability, change in (
            (self.blur, random_blur),
            (self.solarise, random_solarise),
            (self.invert, random_inversion),
            (self.gamma, random_gamma),
        ):
            view = change(view, generator, probability) if probability else view
        return view
