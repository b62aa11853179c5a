"""Masked autoencoder: a few patches of a picture are shown, the pixels of the others are predicted (He et al. 2022).

arXiv:2111.06377. The encoder, a vision transformer, computes the shown patches alone, which makes a step cheap; a small
decoder is given their tokens, and one token for all that is hidden, with its place. It is removed after training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ssl_models.bounds import require_fraction, require_picture
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.vit import ViT
from ssl_models.errors import DoesNotApply
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.patch_decoder import PatchDecoder
from ssl_models.shown import in_rows
from ssl_models.views.drawing import uniform

SMALLEST_VARIANCE = 1e-6
"""Is added to a patch's variance before its target is divided by the root (the authors' code)."""


class MAE(Method):
    """The mean squared error of the pixels of the hidden patches.

    Chance is that of the patch's mean for every pixel, (n - 1) / n of a patch of n numbers, where patches are
    normalised; blank patches cost less. Where they are not, there is no such level.

    The paper trains with batches of 4,096, AdamW (beta 2 of 0.95) with a learning rate of 1.5e-4 * B / 256 and a weight
    decay of 0.05, for 800 to 1,600 epochs.

    mask: share of the patches that is hidden. Default 0.75. Paper 0.75.
    normalise: whether the target is a patch minus its mean, divided by its deviation. Default True. Paper: yes, which
        is better (table 1d).
    decoder_width: numbers of a token of the decoder. Default 64. Paper 512.
    decoder_depth: blocks of the decoder. Default 2. Paper 8.
    decoder_heads: of its attention. Default 4. Paper 16.
    smallest_crop: least area of the crop, see MildViews. Default 0.2. Paper 0.2.
    flip: see MildViews.
    """

    family = "predictive"
    reference = "He et al. 2022, arXiv:2111.06377"
    crops = by_rows = True
    encoder: ViT

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        mask: float = 0.75,
        normalise: bool = True,
        decoder_width: int = 64,
        decoder_depth: int = 2,
        decoder_heads: int = 4,
        smallest_crop: float = 0.2,
        flip: float = MildViews.flip,
    ) -> None:
        channels, *size = require_picture(data.shape, "mae")
        if not isinstance(encoder, ViT):
            raise DoesNotApply(
                f"mae hides patches of a vision transformer, and the encoder is '{encoder.name}': give the run one, as "
                "`encoder: {name: vit}`"
            )
        super().__init__(encoder)
        require_fraction(mask=mask)
        grid = encoder.grid_of(size)
        self.patches = grid[0] * grid[1]
        self.shown = self.patches - round(mask * self.patches)
        if not 1 <= self.shown < self.patches:
            raise ValueError(f"mask is {mask}; of {self.patches} patches at least one must be hidden, and one shown")
        self.normalise = normalise
        numbers = channels * encoder.patch**2
        self.chance = (numbers - 1) / numbers if normalise else None
        self.mild = MildViews(smallest_crop, flip, tuple(size))
        self.decoder = PatchDecoder(
            encoder.dim, grid, numbers, width=decoder_width, depth=decoder_depth, heads=decoder_heads
        )

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> pictures of the same shape, and an order (B, L) int64 of patches, shown ones first."""
        pictures = self.mild(images, generator)
        return pictures, uniform(generator, len(images), self.patches).argsort(1)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The error of the hidden patches alone."""
        pictures, order = views
        shown, hidden = order[:, : self.shown], order[:, self.shown :]
        found = self.decoder(self.encoder.of_shown(pictures, shown), shown).float()  # (B, L, n)
        error = (found - self.target(pictures)).square().mean(2)  # (B, L)
        return {"loss": error.gather(1, hidden).mean()}

    def pictures(self, samples: Sequence[Tensor]) -> dict[str, Any]:
        """Test pictures with hidden patches, completed, and whole.

        Where patches are normalised, a predicted one is shown with its own mean and deviation, as in the paper.
        """
        pictures, order = self.views(samples[0], Generator(samples[0].device).manual_seed(0))
        shown, size = order[:, : self.shown], pictures.shape[2:]
        found = self.decoder(self.encoder.of_shown(pictures, shown), shown).float()
        patches = self.patches_of(pictures)
        if self.normalise:
            found = patches.mean(2, keepdim=True) + spread(patches) * found
        else:
            found = found * self.encoder.deviation + self.encoder.mean
        is_shown = torch.zeros(patches.shape[:2], device=pictures.device).scatter_(1, shown, 1).bool()[..., None]
        rows = {
            "shown": patches.where(is_shown, 0.5),
            "completed": patches.where(is_shown, found),
            "whole": patches,
        }
        folded = {
            name: nn.functional.fold(each.mT, size, self.encoder.patch, stride=self.encoder.patch)
            for name, each in rows.items()
        }
        return {"completed": in_rows(folded)}

    def target(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, L, n): the pixels of each patch, normalised, or as an encoder has them."""
        patches = self.patches_of(pictures)
        if not self.normalise:
            return self.encoder.standardise(patches)
        return (patches - patches.mean(2, keepdim=True)) / spread(patches)

    def patches_of(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, L, n) float32: the pixels of each patch."""
        return nn.functional.unfold(pictures.float(), self.encoder.patch, stride=self.encoder.patch).mT


def spread(patches: Tensor) -> Tensor:
    """(B, L, n) -> (B, L, 1): the deviation of each patch's pixels, above zero."""
    return (patches.var(2, keepdim=True) + SMALLEST_VARIANCE).sqrt()


METHOD = MAE
