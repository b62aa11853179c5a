"""Pictures: (B, C, H, W), stored as uint8 in 0..255, and given to an encoder as float32 in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.modalities.inputs import inputs
from ssl_models.views.geometric import random_crop_flip
from ssl_models.views.photometric import colour_jitter, require_jitter

PARTS = ("images", "frames")
AXES = 3


@dataclass(frozen=True)
class MildViews:
    """(B, C, H, W) uint8 -> (B, C, *size), float32 in [0, 1]: cropped and flipped, drawn for each sample.

    Such views keep most of a picture, and its colours and light unless these are jittered. The frames of a clip
    (B, T, C, H, W) are all changed alike. Raises ValueError for a value out of range.

    smallest_crop: least area of the random resized crop, as a share of the picture; 1 for the whole picture. Default
        0.5. ImageNet recipes take 0.08 (Szegedy et al. 2015, arXiv:1409.4842, section 6), for pictures of 224 px.
    flip: probability of a left-right flip. Default 0.5, as is usual.
    size: height and width of the views, which pictures may exceed; None for those of the pictures. No setting.
    jitter_strength: of a jitter of brightness, contrast and saturation, which every sample gets, see `colour_jitter`.
        Default 0. The configuration of ClusterFit's refit in VISSL has 0.5: factors from U(0.6, 1.4). It is not called
        `strength`, nor the next `hue`, so that a data set's recipe for views of contrastive methods does not set it.
    jitter_hue: largest turn of the hue, as a share of the circle. Default 0. That configuration has 0.2.
    """

    smallest_crop: float = 0.5
    flip: float = 0.5
    size: tuple[int, ...] | None = None
    jitter_strength: float = 0.0
    jitter_hue: float = 0.0

    def __post_init__(self) -> None:
        require_positive(smallest_crop=self.smallest_crop)
        require_fraction(smallest_crop=self.smallest_crop, flip=self.flip)
        require_jitter(self.jitter_strength, self.jitter_hue, ("jitter_strength", "jitter_hue"))

    def __call__(self, samples: Tensor, generator: Generator) -> Tensor:
        pictures = inputs(samples)
        channels = pictures.flatten(1, -3)  # of all frames: (B, T * C, H, W)
        found = random_crop_flip(channels, generator, smallest=self.smallest_crop, flip=self.flip, size=self.size)
        found = found.view(*pictures.shape[:-2], *found.shape[-2:])
        return self._jittered(found, generator) if self.jitter_strength or self.jitter_hue else found

    def _jittered(self, pictures: Tensor, generator: Generator) -> Tensor:
        """Frames of a clip are laid one below another, as one tall picture with one set of factors."""
        frames = pictures.movedim(-3, 1)  # (B, C, ..., H, W)
        how = {"strength": self.jitter_strength, "hue": self.jitter_hue, "probability": 1.0}
        return colour_jitter(frames.flatten(2, -2), generator, **how).view(frames.shape).movedim(1, -3)
