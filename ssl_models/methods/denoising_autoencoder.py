"""Denoising autoencoders: what was the picture before noise was added? (Vincent et al. 2010, JMLR 11, 3371-3408)

An autoencoder that is given the whole picture can learn to copy it. One that is given a corrupted picture must know
what pictures look like. The paper stacks single layers, each trained as a denoising autoencoder of the clean output of
the layer below (section 3.5; here `stacked`). By default the whole encoder is one autoencoder, trained end to end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.decoder import Decoder, painting, painting_target, unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import map_shapes
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.shown import in_rows
from ssl_models.views import drawing
from ssl_models.views.corruption import NOISES, mean_colour

OBJECTIVES = ("squared", "cross_entropy")


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Within this context no statistic of a module changes: it is in evaluation mode. Each part's mode is restored."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


class DenoisingAutoencoder(Method):
    """The emphasised error `alpha sum_J l(x, z) + beta sum_rest l(x, z)` (section 3.4), J being the corrupted values.

    For "squared" it is divided by the error of the best constant (see `unexplained`), and chance is 1. For
    "cross_entropy" it is divided by the sum of the weights, and chance is log 2, the cost of z = 1/2 everywhere. The
    paper has layers of 1,000 to 3,000 sigmoid units, trained with plain SGD.

    noise: "masking": values become 0; "salt_and_pepper": values become 0 or 1; "gaussian": noise is added. Each value
        is drawn by itself. Default "masking". Paper all three (section 3.3).
    level: share of the values that are corrupted, or the Gaussian's deviation for values in [0, 1]. Default 0.5. Paper
        0.1 to 0.4 for masking (table 3).
    objective: l, "squared" or "cross_entropy". Default "squared". Paper both.
    alpha: weight of the corrupted values. Default 1. With beta 0 this is the paper's "full emphasis".
    beta: weight of the values that were left. Default 1. Gaussian noise leaves none.
    normalise: for "squared" only: whether each picture is compared without its mean colour and divided by its
        deviation. Default True: with the values as they are, the background's colour decides the error, and the
        features are worse. Paper: the values as they are.
    stacked: whether one layer is trained after another, the layers below frozen, see `layer_at` for how long. Default
        False. A map's bounds for noise are those of each channel in its batch. On 32-px pictures the last layer's
        features are then little better than untrained ones, though the error falls to a third of chance. Paper: yes
        (section 3.5).
    decoder_width: channels of a decoder's first layer. Default 64. Own.
    smallest_crop, flip: see MildViews.
    """

    family = "predictive"
    reference = "Vincent et al. 2010, JMLR 11, 3371-3408"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        noise: str = "masking",
        level: float = 0.5,
        objective: str = "squared",
        alpha: float = 1.0,
        beta: float = 1.0,
        normalise: bool = True,
        stacked: bool = False,
        decoder_width: int = 64,
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
    ) -> None:
        super().__init__(encoder)
        channels, height, width = require_picture(data.shape, "denoising_autoencoder")
        require_choice("noise", noise, tuple(NOISES))
        require_choice("objective", objective, OBJECTIVES)
        require_positive(decoder_width=decoder_width)
        require_fraction(level=level)
        require_emphasis(alpha, beta, untouched=noise != "gaussian" and level < 1, corrupted=level > 0)
        if stacked and objective == "cross_entropy":
            raise ValueError(
                "objective is 'cross_entropy', which needs values in [0, 1], and the maps of layers exceed it; choose "
                "'squared' where stacked"
            )
        self.noise, self.level, self.objective = noise, level, objective
        self.alpha, self.beta, self.normalise, self.stacked = alpha, beta, normalise, stacked
        self.mild_views = MildViews(smallest_crop, flip, data.shape[1:])
        self.chance = math.log(2) if objective == "cross_entropy" else 1.0
        shapes = list(map_shapes(encoder, data.shape).values())
        if not stacked:
            dim, start, _ = shapes[-1]
            self.decoder = Decoder(dim, channels, (height, width), start=start, width=decoder_width)
            return
        encoder.blocks()  # refused where there are none
        below = [(channels, height, width), *shapes[:-1]]
        self.decoders = nn.ModuleList(
            Decoder(dim, channels, (height, width), start=start, width=decoder_width)
            for (dim, start, _), (channels, height, width) in zip(shapes, below, strict=True)
        )
        self.layer: Tensor
        self.register_buffer("layer", torch.tensor(0))

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> corrupted and clean pictures of that shape, and a mask of the corrupted values, int64.

        Stacked: clean pictures, and the seed (1,) int64 of the noise, because the map that it is for is computed in
        `loss`.
        """
        pictures = self.mild_views(images, generator)
        if self.stacked:
            return pictures, drawing.seed(generator)
        corrupted, touched = NOISES[self.noise](pictures, generator, self.level)
        return corrupted, pictures, touched.long()

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return (1, 0) if self.stacked else (1, 1, 1)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The emphasised error. Stacked: that of the layer in training, whose number (from 0) is logged."""
        if self.stacked:
            return {"reconstruction": self.layer_error(*views), "layer": self.layer.float()}
        corrupted, pictures, touched = views
        maps = self.encoder.layers(corrupted)
        output = self.decoder(maps[next(reversed(maps))]).float()  # (B, C, H, W)
        weight = self.weight(touched)
        if self.objective == "squared":
            return {"reconstruction": unexplained(output, self.target(pictures), weight)}
        error = functional.binary_cross_entropy_with_logits(output, pictures, reduction="none")
        return {"reconstruction": (weight * error).sum() / weight.sum().clamp_min(1e-6)}

    def layer_error(self, pictures: Tensor, seed: Tensor) -> Tensor:
        """The error of the layer in training: it removes noise from the map of the layer below, or from the picture."""
        layer = int(self.layer)
        below = self.map_below(pictures, layer)
        low = below.amin((0, 2, 3), keepdim=True) if layer else 0.0
        high = below.amax((0, 2, 3), keepdim=True) if layer else 1.0
        generator = drawing.seeded(seed, below.device)
        corrupted, touched = NOISES[self.noise](below, generator, self.level, low, high)
        inputs = corrupted if layer else self.encoder.standardise(corrupted)
        output = self.decoders[layer](list(self.encoder.blocks().values())[layer](inputs))
        return unexplained(output, below if layer else self.target(pictures), self.weight(touched))

    def map_below(self, pictures: Tensor, layer: int) -> Tensor:
        """The output of the frozen layers below `layer` for clean pictures, float32; for layer 0 the pictures."""
        if layer == 0:
            return pictures
        with torch.no_grad(), evaluating(self.encoder):
            hidden = self.encoder.standardise(pictures)
            for block in list(self.encoder.blocks().values())[:layer]:
                hidden = block(hidden)
        return hidden.float()

    def target(self, pictures: Tensor) -> Tensor:
        return painting_target(pictures, mean_colour(pictures), self.normalise)

    def pictures(self, samples: Sequence[Tensor]) -> dict[str, Any]:
        """Test pictures corrupted, denoised, and clean; none of stacked layers, which see maps."""
        if self.stacked:
            return {}
        corrupted, pictures, _ = self.views(samples[0], Generator(samples[0].device).manual_seed(0))
        maps = self.encoder.layers(corrupted)
        output = self.decoder(maps[next(reversed(maps))]).float()
        if self.objective == "squared":
            output = painting(output, pictures, mean_colour(pictures), self.normalise)
        else:
            output = output.sigmoid()
        return {"denoised": in_rows({"corrupted": corrupted, "denoised": output, "clean": pictures})}

    def weight(self, touched: Tensor) -> Tensor:
        """alpha where a value was corrupted, beta elsewhere."""
        return torch.where(touched.bool(), self.alpha, self.beta)

    def after_step(self, handed_over: Any, progress: float) -> None:  # noqa: ARG002
        """Stacked: begins with the next layer when its share of the training is reached."""
        if self.stacked:
            self.layer.fill_(layer_at(progress, len(self.decoders)))


def layer_at(progress: float, layers: int) -> int:
    """The number, from 0, of the layer in training: each has the same sum of learning rates under half a cosine.

    The integral of (1 + cos pi p) / 2 is half of p + sin(pi p) / pi, so five layers begin at 0, 0.10, 0.21, 0.33 and
    0.48. With equal parts the last layer would have 1 % of the sum of the rates, and its error stayed above chance.
    Layers begin at these shares under the other schedules of the learning rate as well.
    """
    done = progress + math.sin(math.pi * progress) / math.pi
    return min(int(done * layers), layers - 1)


def require_emphasis(alpha: float, beta: float, *, untouched: bool, corrupted: bool) -> None:
    """Refuses weights below 0, and weights that leave no value to compare."""
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}; it must be at least 0")
    if not (alpha > 0 and corrupted) and not (beta > 0 and untouched):
        raise ValueError(
            f"alpha is {alpha} and beta is {beta}; one must be over 0 for values that the noise "
            f"{'corrupts' if corrupted else 'leaves untouched'}"
        )


METHOD = DenoisingAutoencoder
