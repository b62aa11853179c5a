"""Denoising autoencoders: what was the picture before it was damaged? (Vincent et al. 2010, JMLR 11, 3371-3408)

An autoencoder that may see all can copy; one that is shown noise must know what pictures look like. The paper's are
single layers put on top of one another, each trained as a denoising autoencoder of what the layer below makes of an
undamaged picture (section 3.5: `stacked`). By default the whole encoder is one autoencoder, trained end to end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.decoder import Decoder, map_shapes, painting_target, unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.method import DataSpec, Method
from ssl_models.views.corruption import NOISES, mean_colour
from ssl_models.views.geometric import as_float, random_crop_flip

OBJECTIVES = ("squared", "cross_entropy")
LARGEST_SEED = 2**62


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: no statistics move, and afterwards every part is in the mode that it was in."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


class DenoisingAutoencoder(Method):
    """`alpha sum_J l(x, z) + beta sum_rest l(x, z)` (section 3.4), J being the values corrupted. Chance 1 or log 2.

    The sum is divided by what a constant picture costs for "squared" (chance 1, see `unexplained`), and by the sum of
    the weights for "cross_entropy", where a z of 1/2 everywhere costs log 2.
    The paper: masking noise of 10 to 40 % (table 3), layers of 1,000 to 3,000 sigmoid units, plain SGD.
    "squared" compares each picture without its mean colour and over its deviation: with the values as they are, which
    the paper takes, the background's colour decides the error and the features are worse here.

    noise: "gaussian", "masking" (values set to 0) or "salt_and_pepper" (to 0 or 1), all for single values.
    level: share of the values, or the Gaussian's deviation for values in [0, 1]. objective: l, "squared" or
    "cross_entropy". alpha, beta: weights of the corrupted and of the untouched values; 1 and 0 is "full emphasis".
    Gaussian noise leaves none untouched. normalise: compare differences from the mean colour over the deviation, as
    above, or the values; for "squared" only.
    stacked: one layer after another, see `layer_at` for how long, the layers below frozen; a map's bounds for noise are
    those of each channel in its batch. On 32-px pictures the last layer's features then are little better than
    untrained ones, though the error falls to a third of chance.
    decoder_width: channels of a decoder's first layer. smallest_crop: least area of the random crop, 1 for none.
    flip: probability of a left-right flip.
    """

    family = "predictive"
    reference = "Vincent et al. 2010, JMLR 11, 3371-3408"

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
        smallest_crop: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        super().__init__(encoder)
        channels, height, width = require_picture(data.shape, "denoising_autoencoder")
        require_choice("noise", noise, tuple(NOISES))
        require_choice("objective", objective, OBJECTIVES)
        require_positive(smallest_crop=smallest_crop, decoder_width=decoder_width)
        require_fraction(level=level, smallest_crop=smallest_crop, flip=flip)
        require_emphasis(alpha, beta, untouched=noise != "gaussian" and level < 1, corrupted=level > 0)
        if stacked and objective == "cross_entropy":
            raise ValueError("objective is 'cross_entropy'; maps are not in [0, 1], choose squared where stacked")
        self.noise, self.level, self.objective = noise, level, objective
        self.alpha, self.beta, self.normalise, self.stacked = alpha, beta, normalise, stacked
        self.smallest_crop, self.flip = smallest_crop, flip
        self.chance = math.log(2) if objective == "cross_entropy" else 1.0
        shapes = list(map_shapes(encoder, data.shape).values())
        if not stacked:
            dim, start, _ = shapes[-1]
            self.decoder = Decoder(dim, channels, (height, width), start=start, width=decoder_width)
            return
        below = [(channels, height, width), *shapes[:-1]]
        self.decoders = nn.ModuleList(
            Decoder(dim, channels, (height, width), start=start, width=decoder_width)
            for (dim, start, _), (channels, height, width) in zip(shapes, below, strict=True)
        )
        self.layer: Tensor
        self.register_buffer("layer", torch.tensor(0))

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> damaged pictures and whole ones, of the same shape, and which values were corrupted,
        int64. Stacked: whole pictures, and the seed (1,) int64 of the noise for a map that is not known yet."""
        pictures = random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip)
        if self.stacked:
            return pictures, torch.randint(LARGEST_SEED, (1,), generator=generator, device=generator.device)
        corrupted, touched = NOISES[self.noise](pictures, generator, self.level)
        return corrupted, pictures, touched.long()

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The emphasised error; stacked: of the layer in training, whose number from 0 is logged."""
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
        """The error of the layer in training at undoing noise in the map of the layer below, or in the picture."""
        layer = int(self.layer)
        below = self.map_below(pictures, layer)
        low = below.amin((0, 2, 3), keepdim=True) if layer else 0.0
        high = below.amax((0, 2, 3), keepdim=True) if layer else 1.0
        generator = Generator(below.device).manual_seed(int(seed))
        corrupted, touched = NOISES[self.noise](below, generator, self.level, low, high)
        inputs = corrupted if layer else self.encoder.standardise(corrupted)
        output = self.decoders[layer](list(self.encoder.blocks().values())[layer](inputs))
        return unexplained(output, below if layer else self.target(pictures), self.weight(touched))

    def map_below(self, pictures: Tensor, layer: int) -> Tensor:
        """What the frozen layers below `layer` make of undamaged pictures, float32; the pictures themselves for 0."""
        if layer == 0:
            return pictures
        with torch.no_grad(), evaluating(self.encoder):
            hidden = self.encoder.standardise(pictures)
            for block in list(self.encoder.blocks().values())[:layer]:
                hidden = block(hidden)
        return hidden.float()

    def target(self, pictures: Tensor) -> Tensor:
        return painting_target(pictures, mean_colour(pictures), self.normalise)

    def weight(self, touched: Tensor) -> Tensor:
        """alpha where a value was corrupted, beta elsewhere."""
        return torch.where(touched.bool(), self.alpha, self.beta)

    def after_step(self, progress: float) -> None:
        """Stacked: goes on to the next layer when its part of the training begins."""
        if self.stacked:
            self.layer.fill_(layer_at(progress, len(self.decoders)))


def layer_at(progress: float, layers: int) -> int:
    """The number from 0 of the layer in training: each has the same sum of learning rates under half a cosine.

    The integral of (1 + cos pi p) / 2 is half of p + sin(pi p) / pi, so five layers begin at 0, 0.10, 0.21, 0.33 and
    0.48. In equal parts the last would have 1 % of the rates' sum, and its error stayed above chance.
    """
    done = progress + math.sin(math.pi * progress) / math.pi
    return min(int(done * layers), layers - 1)


def require_emphasis(alpha: float, beta: float, *, untouched: bool, corrupted: bool) -> None:
    """Refuses weights below 0, and weights that leave nothing to compare."""
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} is {value}; it must be at least 0")
    if not (alpha > 0 and corrupted) and not (beta > 0 and untouched):
        raise ValueError(
            f"alpha is {alpha} and beta is {beta}; one must be over 0 for values that the noise "
            f"{'corrupts' if corrupted else 'leaves untouched'}"
        )


METHOD = DenoisingAutoencoder
