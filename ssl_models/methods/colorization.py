"""Colorization: which colours does a grey picture have? (Zhang, Isola & Efros 2016, arXiv:1603.08511)

To know the colour is to know the thing, mostly. Where a thing can have several colours, the best single guess in the
sense of squares is their mean, a grey; so colours are classes here, and rare ones weigh more (section 2.2). Colours are
the target: no view may change them.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.decoder import map_shapes, unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.method import DataSpec, Method
from ssl_models.views.colour_bins import ColourBins, rebalancing_weights, soft_cross_entropy
from ssl_models.views.geometric import as_float, random_crop_flip
from ssl_models.views.lab import lab_to_rgb, rgb_to_lab

OBJECTIVES = {"classification": 3.0, "regression": 0.3}
"""And the gain of the head: each of many classes gets a small part of the gradient, two numbers get all of it, and
with 1 plain gradient descent at a rate of 0.1 was slow for the one and diverged for the other."""

LIGHTNESS, COLOUR_RANGE = 100.0, 256.0
"""A view is L* / 100 and (a* or b*) / 256 + 1/2, each in [0, 1]."""

COLOUR_SCALE = 20.0
"""a* and b* of a regression are in units of this, about their deviation."""


class Hypercolumn(nn.Module):
    """Maps of several layers -> (B, outputs, *size): each layer's by a linear map of its own, enlarged, and summed.

    The sum of linear maps is one linear map of all layers at a place, its hypercolumn (Hariharan et al. 2015,
    arXiv:1411.5752); Larsson et al. 2016 (arXiv:1603.06668) colour pictures from it. Normalisation, ReLU and a second
    linear map follow. gain: the last map begins that much smaller and its input is that much larger, so that the same
    outputs move about gain^2 times as far in a step of plain gradient descent.
    """

    def __init__(self, channels: list[int], hidden: int, outputs: int, size: tuple[int, int], gain: float) -> None:
        super().__init__()
        self.size, self.gain = size, gain
        self.each = nn.ModuleList(nn.Conv2d(dim, hidden, 1, bias=False) for dim in channels)
        self.norm = nn.BatchNorm2d(hidden)
        self.last = nn.Conv2d(hidden, outputs, 1)
        with torch.no_grad():
            self.last.weight /= gain

    def forward(self, maps: list[Tensor]) -> Tensor:
        together = [self.enlarge(narrow(layer)) for narrow, layer in zip(self.each, maps, strict=True)]
        hidden = functional.relu(self.norm(torch.stack(together).sum(0)))
        output: Tensor = self.last(self.gain * hidden)
        return output

    def enlarge(self, maps: Tensor) -> Tensor:
        """(B, hidden, h, w) -> (B, hidden, *size), bilinear."""
        if maps.shape[2:] == self.size:
            return maps
        return functional.interpolate(maps, size=self.size, mode="bilinear", align_corners=False)


class Colorization(Method):
    """The cross entropy of each place's colour, rare colours weighing more. Chance is log Q, that of equal logits.

    The encoder sees lightness alone, as a grey picture with three equal channels, so that it takes colour pictures too.
    The weights (eq. 4) are divided by their sum over the batch, where the paper's have the mean 1 over the smoothed
    distribution: then equal logits cost log Q whatever the batch. Logged beside the loss: "constant", the cost of the
    best prediction that sees no picture (the entropy of the batch's weighted mean target), which says more than chance
    since some colours are common everywhere; "accuracy", how often the likeliest bin is the true one, weighted alike;
    "chroma", for either objective, the mean distance from grey of the colours predicted over that of the true ones.
    The paper: 313 bins, 1.3 million pictures at 224 px in batches of 40, Adam with learning rate 3e-5, and the
    distribution of all colours counted beforehand; here it is the mean over the batches seen so far.
    objective: "classification", or "regression": the squared error of a* and b* as a share of the best constant's, so
    that chance is 1. Where several colours are possible regression gives their mean, a grey.
    grid, neighbours, deviation: of the bins and the soft targets, see ColourBins (10, 5, 5; a grid of 10 has 262 bins).
    uniform: λ of the weights, 1 for none (1/2). temperature: of the annealed mean in `decode` (0.38).
    patch: side of the squares whose mean colour is predicted (4: 56 of 224 px). layers: how many, from the last, the
    head reads; the paper's reads the last, of stride 8, but at 32 px the last map is 2x2. hidden: width of the head.
    smallest_crop: least area of the random crop, 1 for none. flip: probability of a left-right flip.
    """

    family = "predictive"
    reference = "Zhang et al. 2016, arXiv:1603.08511"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "classification",
        grid: int = 10,
        neighbours: int = 5,
        deviation: float = 5.0,
        uniform: float = 0.5,
        temperature: float = 0.38,
        patch: int = 4,
        layers: int = 3,
        hidden: int = 64,
        smallest_crop: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        super().__init__(encoder)
        channels, height, width = require_picture(data.shape, "colorization")
        if channels != 3:
            raise ValueError(
                f"colorization needs the 3 channels red, green and blue, and these pictures have {channels}"
            )
        require_choice("objective", objective, tuple(OBJECTIVES))
        require_fraction(uniform=uniform, smallest_crop=smallest_crop, flip=flip)
        require_positive(temperature=temperature, hidden=hidden, smallest_crop=smallest_crop)
        if not 1 <= patch <= min(height, width):
            raise ValueError(f"patch is {patch}; pictures of {height} x {width} px allow 1 to {min(height, width)}")
        shapes = list(map_shapes(encoder, data.shape).values())
        if not 1 <= layers <= len(shapes):
            raise ValueError(f"layers is {layers}; the encoder allows 1 to {len(shapes)}, counted from the last")
        self.objective, self.uniform, self.temperature = objective, uniform, temperature
        self.patch, self.layers, self.smallest_crop, self.flip = patch, layers, smallest_crop, flip
        self.bins = ColourBins(grid, neighbours, deviation)
        classes = len(self.bins)
        outputs = classes if objective == "classification" else 2
        size = (height // patch, width // patch)
        self.head = Hypercolumn([shape[0] for shape in shapes[-layers:]], hidden, outputs, size, OBJECTIVES[objective])
        self.chance = math.log(classes) if objective == "classification" else 1.0
        self.distribution: Tensor
        self.batches: Tensor
        self.register_buffer("distribution", torch.full((classes,), 1 / classes))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.pending: Tensor | None = None

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, 3, H, W) uint8 -> cropped, flipped pictures of that shape with lightness and colour as channels."""
        lab = rgb_to_lab(random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip))
        lightness, colours = lab[:, :1] / LIGHTNESS, lab[:, 1:] / COLOUR_RANGE + 0.5
        return (torch.cat([lightness, colours], dim=1).clamp_(0, 1),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """The error of the colours predicted from the lightness; what is only logged, see above, is detached."""
        lightness, colours = views[0][:, :1], (views[0][:, 1:].float() - 0.5) * COLOUR_RANGE
        colours = functional.avg_pool2d(colours, self.patch)  # (B, 2, h, w)
        predicted = self.predict(lightness)
        if self.objective == "regression":
            target = colours / COLOUR_SCALE
            terms = {"loss": unexplained(predicted, target, torch.ones_like(target))}
        else:
            terms = self.classify(predicted, colours)
        shown = self.colours(predicted.detach().float())
        return {**terms, "chroma": chroma(shown) / chroma(colours).clamp(min=1e-6)}

    def predict(self, lightness: Tensor) -> Tensor:
        """(B, 1, H, W) lightness in [0, 1] -> (B, Q, h, w) logits, or (B, 2, h, w) a*, b* / COLOUR_SCALE."""
        maps = list(self.encoder.layers(lightness.expand(-1, 3, -1, -1)).values())
        return cast(Tensor, self.head(maps[-self.layers :]))

    def colours(self, predicted: Tensor) -> Tensor:
        """What `predict` gives -> (B, 2, h, w) a*, b*; classes are decoded by their annealed mean."""
        if self.objective == "regression":
            return predicted * COLOUR_SCALE
        return self.bins.annealed_mean(predicted, self.temperature)

    def classify(self, logits: Tensor, colours: Tensor) -> dict[str, Tensor]:
        """(B, Q, h, w) logits and (B, 2, h, w) true a*, b* -> the terms of the loss."""
        bins, shares = self.bins.encode(colours)  # (B, h, w, K)
        nearest = bins[..., 0]
        weights = rebalancing_weights(self.bins.smooth(self.distribution), self.uniform)[nearest]
        weights = weights / weights.sum()
        self.pending = self.total(nearest, torch.full_like(weights, 1 / weights.numel()))
        constant = self.total(bins, weights[..., None] * shares)
        right = (logits.detach().permute(0, 2, 3, 1).argmax(3) == nearest).float()
        return {
            "loss": (weights * soft_cross_entropy(logits, bins, shares)).sum(),
            "constant": torch.special.entr(constant).sum(),
            "accuracy": (weights * right).sum().clamp(max=1),
        }

    def total(self, bins: Tensor, shares: Tensor) -> Tensor:
        """Bins and shares of one shape -> (Q,) the sum of each bin's shares."""
        return torch.zeros_like(self.distribution).scatter_add_(0, bins.flatten(), shares.flatten())

    def after_step(self, progress: float) -> None:  # noqa: ARG002
        """Takes the batch's colours into the mean over all batches."""
        if self.pending is not None:
            self.batches += 1
            self.distribution += (self.pending - self.distribution) / self.batches
            self.pending = None

    @torch.no_grad()
    def decode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 or float in [0, 1] -> their lightness in the colours predicted, in [0, 1].

        For a method in evaluation mode.
        """
        lightness = rgb_to_lab(images if images.is_floating_point() else as_float(images))[:, :1]
        predicted = self.predict(lightness / LIGHTNESS).float()
        colours = self.colours(predicted)
        colours = functional.interpolate(colours, size=images.shape[2:], mode="bilinear", align_corners=False)
        return lab_to_rgb(torch.cat([lightness, colours], dim=1))


def chroma(colours: Tensor) -> Tensor:
    """(B, 2, h, w) a*, b* -> the mean distance from grey, a scalar."""
    return torch.linalg.vector_norm(colours, dim=1).mean()


METHOD = Colorization
