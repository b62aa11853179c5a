"""Colorization: which colours does a grey picture have? (Zhang, Isola & Efros 2016, arXiv:1603.08511)

Many things can be told by their colour, so predicting the colour needs knowledge of the thing. Where several colours
are possible, the prediction of least squared error is their mean, which is greyish. So colours are classes here, and
rare colours have a larger weight (section 2.2). Views must not change colours: they are the target.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.decoder import unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.lightness import Lightness
from ssl_models.encoders.shapes import map_shapes
from ssl_models.method import Method, Scored
from ssl_models.modalities.image import MildViews
from ssl_models.modalities.inputs import inputs
from ssl_models.shown import in_rows
from ssl_models.views.colour_bins import ColourBins, rebalancing_weights, soft_cross_entropy
from ssl_models.views.lab import LIGHTNESS_SCALE, lab_to_rgb, rgb_to_lab

OBJECTIVES = {"classification": 3.0, "regression": 0.3}
"""Objective -> gain of the head. Each of many classes gets a small part of the gradient, and two numbers get all of it:
with a gain of 1, plain gradient descent at a rate of 0.1 was slow for the first and diverged for the second."""

COLOUR_RANGE = 256.0
"""A view is L* / 100 and (a* or b*) / 256 + 1/2, each in [0, 1]."""

COLOUR_SCALE = 20.0
"""The unit of a* and b* in a regression, about their standard deviation."""


class Hypercolumn(nn.Module):
    """Maps of several layers -> (B, outputs, *size): a linear map of each layer, enlarged to `size`, and summed.

    A sum of linear maps is one linear map of all layers at a position, the hypercolumn (Hariharan et al. 2015,
    arXiv:1411.5752). Larsson et al. 2016 (arXiv:1603.06668) colour pictures from hypercolumns. Normalisation, ReLU and
    a second linear map follow.
    gain: the last map's weights begin smaller by this factor, and its input is larger by it. The outputs are the same
        at first, and a step of plain gradient descent changes them about gain^2 times as much.
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
    """Cross entropy of the colour of each square, rare colours weighing more. Chance is log Q, that of equal logits.

    Q is the number of colour bins. `encoder` is put into one that sees lightness alone (encoders/lightness.py), here
    and ever after: that one is trained, saved and measured. The weights (eq. 4) are divided by their sum over the
    batch. The paper's have the mean 1 over the smoothed distribution. With ours equal logits cost log Q for any batch.
    The distribution of colours is the mean over all batches so far. The paper counts it beforehand. The paper trains on
    1.3 million pictures of 224 px in batches of 40, with Adam and a learning rate of 3e-5.

    Terms that are only logged:
    "constant": the loss of the best prediction that does not depend on the picture, the entropy of the batch's weighted
        mean target. It is a better reference than chance, since some colours are common everywhere.
    "accuracy": how often the likeliest bin is the true one, weighted as the loss.
    "chroma": the mean distance from grey of the predicted colours, divided by that of the true ones.

    objective: whether bins or values of a* and b* are predicted. Default "classification". "regression": the squared
        error, divided by that of the best constant, so that chance is 1; where several colours are possible it predicts
        their mean, a greyish colour.
    grid: side of a bin in a* and b*, see ColourBins. Default 10. Paper 10.
    extent: which points of the grid are bins. Default "gamut": those that some colour is rounded to, 262 of a grid of
        10. "hull": the corners of all squares that the convex hull of the colours enters, 313. Paper 313 bins, those of
        "hull".
    neighbours: bins that the target of a colour is spread over. Default 5. Paper 5 (section 2.2).
    deviation: of the Gaussian that spreads it. Default 5. Paper 5 (section 2.2).
    uniform: lambda of the weights (eq. 4), 1 for equal weights. Default 0.5. Paper 0.5.
    temperature: of the annealed mean that `decode` takes (eq. 5). Default 0.38. Paper 0.38.
    patch: side in pixels of the squares whose mean colour is predicted. Default 4. Paper 4: 56 x 56 squares of 224 px.
    layers: how many layers, counted from the last, the head reads. Default 3. Paper 1, of stride 8; at 32 px the last
        map has only 2 x 2 positions.
    hidden: width of the head. Default 64. Own.
    smallest_crop, flip: see MildViews.
    """

    family = "predictive"
    reference = "Zhang et al. 2016, arXiv:1603.08511"
    crops = by_rows = True

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        objective: str = "classification",
        grid: int = 10,
        extent: str = "gamut",
        neighbours: int = 5,
        deviation: float = 5.0,
        uniform: float = 0.5,
        temperature: float = 0.38,
        patch: int = 4,
        layers: int = 3,
        hidden: int = 64,
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
    ) -> None:
        channels, height, width = require_picture(data.shape, "colorization")
        if channels != 3:
            raise ValueError(
                f"colorization needs the 3 channels red, green and blue, and these pictures have {channels}"
            )
        super().__init__(Lightness.over(encoder))
        require_choice("objective", objective, tuple(OBJECTIVES))
        require_fraction(uniform=uniform)
        require_positive(temperature=temperature, hidden=hidden)
        if not 1 <= patch <= min(height, width):
            raise ValueError(f"patch is {patch}; pictures of {height} x {width} px allow 1 to {min(height, width)}")
        shapes = list(map_shapes(self.encoder, data.shape).values())
        if not 1 <= layers <= len(shapes):
            raise ValueError(f"layers is {layers}; the encoder allows 1 to {len(shapes)}, counted from the last")
        self.objective, self.uniform, self.temperature = objective, uniform, temperature
        self.patch, self.layers = patch, layers
        self.mild_views = MildViews(smallest_crop, flip, data.shape[1:])
        self.bins = ColourBins(grid, neighbours, deviation, extent)
        classes = len(self.bins)
        outputs = classes if objective == "classification" else 2
        size = (height // patch, width // patch)
        self.head = Hypercolumn([shape[0] for shape in shapes[-layers:]], hidden, outputs, size, OBJECTIVES[objective])
        self.chance = math.log(classes) if objective == "classification" else 1.0
        self.distribution: Tensor
        self.batches: Tensor
        self.register_buffer("distribution", torch.full((classes,), 1 / classes))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, 3, H, W) uint8 -> cropped, flipped pictures of that shape with lightness and colour as channels."""
        lab = rgb_to_lab(self.mild_views(images, generator))
        lightness, colours = lab[:, :1] / LIGHTNESS_SCALE, lab[:, 1:] / COLOUR_RANGE + 0.5
        return (torch.cat([lightness, colours], dim=1).clamp_(0, 1),)

    def loss(self, *views: Tensor, index: Tensor) -> Scored:  # noqa: ARG002
        """The error of the colours predicted from the lightness. Detached terms are only logged, see above.

        Classification hands over the batch's distribution of colours (Q,).
        """
        lightness, colours = views[0][:, :1], (views[0][:, 1:].float() - 0.5) * COLOUR_RANGE
        colours = functional.avg_pool2d(colours, self.patch)  # (B, 2, h, w)
        predicted = self.predict(lightness)
        distribution = None
        if self.objective == "regression":
            target = colours / COLOUR_SCALE
            terms = {"loss": unexplained(predicted, target, torch.ones_like(target))}
        else:
            terms, distribution = self.classify(predicted, colours)
        shown = self.colours(predicted.detach().float())
        terms["chroma"] = chroma(shown) / chroma(colours).clamp(min=1e-6)
        return Scored(terms, handed_over=distribution)

    def predict(self, lightness: Tensor) -> Tensor:
        """(B, 1, H, W) lightness in [0, 1] -> (B, Q, h, w) logits, or (B, 2, h, w) a*, b* / COLOUR_SCALE."""
        maps = list(self.encoder.layers(lightness).values())
        return cast(Tensor, self.head(maps[-self.layers :]))

    def colours(self, predicted: Tensor) -> Tensor:
        """Output of `predict` -> (B, 2, h, w) a*, b*; classes are decoded by their annealed mean."""
        if self.objective == "regression":
            return predicted * COLOUR_SCALE
        return self.bins.annealed_mean(predicted, self.temperature)

    def classify(self, logits: Tensor, colours: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, Q, h, w) logits and (B, 2, h, w) true a*, b* -> the terms of the loss, and the share of each bin (Q,)."""
        bins, shares = self.bins.encode(colours)  # (B, h, w, K)
        nearest = bins[..., 0]
        weights = rebalancing_weights(self.bins.smooth(self.distribution), self.uniform)[nearest]
        weights = weights / weights.sum()
        distribution = self.total(nearest, torch.full_like(weights, 1 / weights.numel()))
        constant = self.total(bins, weights[..., None] * shares)
        right = (logits.detach().permute(0, 2, 3, 1).argmax(3) == nearest).float()
        terms = {
            "loss": (weights * soft_cross_entropy(logits, bins, shares)).sum(),
            "constant": torch.special.entr(constant).sum(),
            "accuracy": (weights * right).sum().clamp(max=1),
        }
        return terms, distribution

    def total(self, bins: Tensor, shares: Tensor) -> Tensor:
        """Bins and shares of one shape -> (Q,) the sum of each bin's shares."""
        return torch.zeros_like(self.distribution).scatter_add_(0, bins.flatten(), shares.flatten())

    def after_step(self, handed_over: Tensor | None, progress: float) -> None:  # noqa: ARG002
        """Adds the batch's distribution of colours to the mean over all batches."""
        if handed_over is not None:
            self.batches += 1
            self.distribution += (handed_over - self.distribution) / self.batches

    @torch.no_grad()
    def decode(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 or float in [0, 1] -> their lightness with the predicted colours, in [0, 1].

        For a method in evaluation mode.
        """
        lightness = rgb_to_lab(images if images.is_floating_point() else inputs(images))[:, :1]
        return with_colours(lightness, self.colours(self.predict(lightness / LIGHTNESS_SCALE).float()))

    def pictures(self, samples: Sequence[Tensor]) -> dict[str, Any]:
        """Test pictures in grey, coloured, and as they are.

        Of classes: by the annealed mean (eq. 5), by its limits, the mean and the mode, and by two draws, in which each
        square is drawn by itself.
        """
        pictures = self.mild_views(samples[0], generator := Generator(samples[0].device).manual_seed(0))
        lightness = rgb_to_lab(pictures)[:, :1]
        predicted = self.predict(lightness / LIGHTNESS_SCALE).float()
        found = {"regressed": self.colours(predicted)}
        if self.objective == "classification":
            found = {
                "mean": self.bins.annealed_mean(predicted, 1.0),
                "annealed mean": self.colours(predicted),
                "mode": self.bins.centres[predicted.argmax(1)].permute(0, 3, 1, 2),
                "drawn": drawn_colours(predicted, self.bins.centres, generator),
                "drawn again": drawn_colours(predicted, self.bins.centres, generator),
            }
        coloured = {name: with_colours(lightness, colours) for name, colours in found.items()}
        grey = with_colours(lightness, torch.zeros_like(found[next(iter(found))]))
        return {"coloured": in_rows({"grey": grey, **coloured, "true": pictures})}


def with_colours(lightness: Tensor, colours: Tensor) -> Tensor:
    """L* (B, 1, H, W) and a*, b* (B, 2, h, w), which are enlarged -> sRGB (B, 3, H, W) in [0, 1]."""
    colours = functional.interpolate(colours, size=lightness.shape[2:], mode="bilinear", align_corners=False)
    return lab_to_rgb(torch.cat([lightness, colours], dim=1))


def drawn_colours(logits: Tensor, centres: Tensor, generator: Generator) -> Tensor:
    """(B, Q, h, w) logits and the bins' colours (Q, 2) -> (B, 2, h, w): one bin drawn for each place by itself."""
    batch, bins, height, width = logits.shape
    shares = logits.softmax(1).permute(0, 2, 3, 1).reshape(-1, bins)
    drawn = torch.multinomial(shares, 1, generator=generator)
    return centres[drawn.view(batch, height, width)].permute(0, 3, 1, 2)


def chroma(colours: Tensor) -> Tensor:
    """(B, 2, h, w) a*, b* -> the mean distance from grey, a scalar."""
    return torch.linalg.vector_norm(colours, dim=1).mean()


METHOD = Colorization
