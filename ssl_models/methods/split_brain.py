"""Split-brain autoencoder: each half of the network predicts the channels that the other half sees.

Zhang, Isola & Efros 2017 (arXiv:1611.09842). An autoencoder can copy its input; prediction of other channels cannot be
solved by copying. Each half predicts the other's channels, so that the joined features describe the whole input
(section 3.2). No connection leads from one half to the other, so neither sees what it has to predict.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_picture, require_positive
from ssl_models.data import DataSpec
from ssl_models.decoder import unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import map_shapes
from ssl_models.encoders.split import COLOUR_SCALE, SPACES, SplitResNet
from ssl_models.method import Method
from ssl_models.modalities.image import MildViews
from ssl_models.views.colour_bins import ColourBins
from ssl_models.views.lab import rgb_to_lab

OBJECTIVES = ("classification", "regression")
LEVEL_NAMES = {"lab": "lightness", "depth": "depth"}


class PlacesHead(nn.Module):
    """(B, dim, h, w) -> (B, outputs, k h, k w): each position of a map predicts the k x k positions that lie in it.

    The paper's fc6 to fc8 (appendix B) are convolutions too, but larger ones. Here they have size 1: at the end of a
    network for small pictures every position has seen the whole picture, and must predict several positions for a
    target to show any shape.
    """

    def __init__(self, dim: int, hidden: int, outputs: int, places: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, hidden * places**2, 1, bias=False),
            nn.PixelShuffle(places),
            nn.BatchNorm2d(hidden),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, outputs, 1),
        )

    def forward(self, maps: Tensor) -> Tensor:
        output: Tensor = self.layers(maps)
        return output


class SplitBrain(Method):
    """The sum of both halves' losses at each position of a coarse map. Chance is log(colour bins) + log(levels).

    `encoder`, a ResNet, is replaced by a SplitResNet of the same settings: that one is trained and saved. In the
    rendered world the half that sees colours learns little of shape: hue tells a little about lightness there, and
    nothing else can be predicted. The half that sees lightness learns nearly all that a linear protocol finds.
    Regression fails there: hues are drawn evenly, so their mean is grey for every object. Depth suits the method far
    better.

    space: "lab": colours a*b* from lightness L*, and L* from a*b*. "depth", for pictures with nearness as a fourth
        channel: colours a*b* from nearness, and nearness from RGB. Default "lab". Paper "lab"; its second experiment
        (section 4.2) predicts HHA from RGB by regression, and L*a*b* from HHA.
    objective: of both halves. Default "classification", of one-hot targets without rebalancing (appendix B).
        "regression": the squared error divided by that of the best constant, which gives both halves the same weight;
        chance is then 1 for each. Paper: classification is better (conv5 on ImageNet 32.8 % against 32.3 %).
    grid: side of a colour bin in a* and b*. Default 10. Paper 10.
    extent: which points of the grid are bins. Default "gamut", 262 of a grid of 10. "hull": 313, those of Zhang et al.
        2016, see `hull_bins`. Paper 313 bins.
    levels: classes of lightness or nearness, all of one width. Default 50. Paper 50, of width 2.
    resolution: positions of a target along the shorter side, rounded to a multiple of the last map's. A target is the
        mean of the other half's input at its position. Default 8. Paper 12, of 180 px.
    hidden: width of the heads. Default 128. Paper 4,096.
    smallest_crop: least area of the crop, see MildViews. Default 0.5. Paper a fixed half, 180 x 180 of 256 x 256 px.
    flip: see MildViews.
    """

    family = "predictive"
    reference = "Zhang et al. 2017, arXiv:1611.09842"
    crops = by_rows = True

    encoder: SplitResNet

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        space: str = "lab",
        objective: str = "classification",
        grid: int = 10,
        extent: str = "gamut",
        levels: int = 50,
        resolution: int = 8,
        hidden: int = 128,
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
    ) -> None:
        require_choice("space", space, tuple(SPACES))
        require_choice("objective", objective, OBJECTIVES)
        require_channels(data.shape, space)
        require_positive(grid=grid, resolution=resolution, hidden=hidden)
        if levels < 2:
            raise ValueError(f"levels is {levels}; there must be at least 2 to be told apart")
        if resolution > min(data.shape[1:]):
            raise ValueError(f"resolution is {resolution}; these pictures allow at most {min(data.shape[1:])}")
        super().__init__(split_encoder(encoder, space))
        self.objective, self.levels, self.level_name = objective, levels, LEVEL_NAMES[space]
        self.mild_views = MildViews(smallest_crop, flip, data.shape[1:])
        self.bins = ColourBins(grid, neighbours=1, extent=extent)
        outputs, self.chance = ((2, 1), 2.0)
        if objective == "classification":
            outputs, self.chance = (len(self.bins), levels), math.log(len(self.bins)) + math.log(levels)
        dim, *sides = list(map_shapes(self.encoder, data.shape).values())[-1]
        places = max(1, round(resolution / min(sides)))
        self.colour_head, self.level_head = (PlacesHead(dim // 2, hidden, count, places) for count in outputs)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> cropped and flipped pictures of the same shape."""
        return (self.mild_views(images, generator),)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """`colour`, which the first half predicts, and `lightness` or `depth`, which the second does; and how often
        both put the right class first, on average (only logged)."""
        first, second = self.encoder.parts(views[0])
        colour = self.colour_head(last_map(self.encoder.first, first)).float()  # (B, colour bins, h, w)
        level = self.level_head(last_map(self.encoder.second, second)).float()  # (B, levels, h, w)
        colours, amounts = self.targets(first, second, (colour.shape[2], colour.shape[3]))
        if self.objective == "regression":
            everywhere = torch.ones_like(amounts)
            return {
                "colour": unexplained(colour, 4 * colours / COLOUR_SCALE, everywhere),
                self.level_name: unexplained(level, 4 * amounts - 2, everywhere),
            }
        bins, steps = self.classes(colours, amounts)
        right = ((colour.argmax(1) == bins).float() + (level.argmax(1) == steps).float()).mean() / 2
        return {
            "colour": functional.cross_entropy(colour, bins),
            self.level_name: functional.cross_entropy(level, steps),
            "accuracy": right.detach(),
        }

    def targets(self, first: Tensor, second: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """What each half sees -> at `size` places, a*b* (B, 2, h, w) for the first half to predict and lightness or
        nearness in [0, 1] (B, 1, h, w) for the second."""
        amounts, coarse = (functional.adaptive_avg_pool2d(part, size) for part in (first, second))
        colours = (coarse - 0.5) * COLOUR_SCALE if coarse.shape[1] == 2 else rgb_to_lab(coarse)[:, 1:]
        return colours, amounts

    def classes(self, colours: Tensor, amounts: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 2, h, w), (B, 1, h, w) -> the nearest colour bin and the step, both (B, h, w) int64."""
        bins, _ = self.bins.encode(colours)  # (B, h, w, 1)
        return bins[..., 0], (amounts[:, 0] * self.levels).long().clamp_(0, self.levels - 1)


def require_channels(shape: tuple[int, ...], space: str) -> None:
    """Refuses pictures whose number of channels does not fit `space`."""
    channels, _, _ = require_picture(shape, "split_brain")
    if channels != sum(SPACES[space]):
        raise ValueError(
            f"split_brain with space '{space}' needs pictures of {sum(SPACES[space])} channels "
            f"({'RGB' if space == 'lab' else 'RGB and nearness'}), and these have {channels}"
        )


def split_encoder(encoder: Encoder, space: str) -> SplitResNet:
    """A fresh SplitResNet with the settings of a ResNet."""
    if encoder.name != "resnet":
        raise ValueError(f"split_brain makes its own encoder of a resnet, and cannot split encoder '{encoder.name}'")
    return SplitResNet(**encoder.settings, space=space)


def last_map(half: Encoder, part: Tensor) -> Tensor:
    """The last layer's map of what a half sees."""
    maps = half.layers(part)
    return maps[next(reversed(maps))]


METHOD = SplitBrain
