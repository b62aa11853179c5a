"""Split-brain autoencoder: each half of the network predicts the channels that the other half sees.

Zhang, Isola & Efros 2017 (arXiv:1611.09842). An autoencoder may copy its input; cross-channel prediction cannot, and
since each half does it the other way round, both together have seen the whole input when their features are joined
(section 3.2). The halves never meet, so nothing tells one what it has to predict.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.decoder import map_shapes, unexplained
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.split import COLOUR_SCALE, SPACES, SplitResNet
from ssl_models.method import DataSpec, Method
from ssl_models.views.colour_bins import ColourBins
from ssl_models.views.geometric import as_float, random_crop_flip
from ssl_models.views.lab import rgb_to_lab

OBJECTIVES = ("classification", "regression")
LEVEL_NAMES = {"lab": "lightness", "depth": "depth"}


class PlacesHead(nn.Module):
    """(B, dim, h, w) -> (B, outputs, k h, k w): each place of a map tells of the k x k places that lie in it.

    As the paper's fc6 to fc8 (appendix B), which are convolutions too, but of size 1: at the end of a network for small
    pictures every place has seen the whole, and has to tell of more than one place for a target to have any shape.
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
    """The sum of both halves' losses at each place of a coarse map. Chance is log(colour bins) + log(levels).

    `encoder`, a ResNet, is replaced by a SplitResNet of its settings: that is what is trained and saved.
    space: "lab": from lightness L* the colours a*b*, and from these L*. "depth", of pictures with nearness as a fourth
    channel: from nearness the colours a*b*, and from RGB nearness. (The paper's second experiment, section 4.2: from
    RGB the HHA encoding by regression; from HHA the colours by classification and L* by regression.)
    objective: "classification", the paper's better one (conv5 on ImageNet 32.8 % against 32.3 %), of one-hot targets,
    which are not rebalanced (appendix B); or "regression": the squared error as a share of that of the best constant,
    which gives both halves the same weight; chance is then 1 for each.
    grid: side of a colour bin; the paper's 10 gives 262 that sRGB has (of its 313). levels: of lightness or nearness,
    all of one width (50 of 2 in the paper).
    resolution: places that a target has along the shorter side, rounded to a multiple of the last map's (12 of 180 px).
    A target is the mean of the other half's input in its place. hidden: width of the heads (4,096 in the paper).
    smallest_crop: least area of the crop (a fixed half in the paper: 180 x 180 of 256 x 256). flip: probability.

    In the embedded world the half that sees colours learns little of shape: hue says something of lightness there, and
    little more can be said. The half that sees lightness learns nearly all that a linear protocol finds. Regression
    fails there: hues are drawn evenly, so that their mean is grey whatever the object. Depth suits it far better.
    """

    family = "predictive"
    reference = "Zhang et al. 2017, arXiv:1611.09842"

    encoder: SplitResNet

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        space: str = "lab",
        objective: str = "classification",
        grid: int = 10,
        levels: int = 50,
        resolution: int = 8,
        hidden: int = 128,
        smallest_crop: float = 0.5,
        flip: float = 0.5,
    ) -> None:
        require_choice("space", space, tuple(SPACES))
        require_choice("objective", objective, OBJECTIVES)
        require_channels(data.shape, space)
        require_positive(grid=grid, resolution=resolution, hidden=hidden, smallest_crop=smallest_crop)
        require_fraction(smallest_crop=smallest_crop, flip=flip)
        if levels < 2:
            raise ValueError(f"levels is {levels}; there must be at least 2 to be told apart")
        if resolution > min(data.shape[1:]):
            raise ValueError(f"resolution is {resolution}; these pictures allow at most {min(data.shape[1:])}")
        super().__init__(split_encoder(encoder, space))
        self.objective, self.levels, self.level_name = objective, levels, LEVEL_NAMES[space]
        self.smallest_crop, self.flip = smallest_crop, flip
        self.bins = ColourBins(grid, neighbours=1)
        outputs, self.chance = ((2, 1), 2.0)
        if objective == "classification":
            outputs, self.chance = (len(self.bins), levels), math.log(len(self.bins)) + math.log(levels)
        dim, *sides = list(map_shapes(self.encoder, data.shape).values())[-1]
        places = max(1, round(resolution / min(sides)))
        self.colour_head, self.level_head = (PlacesHead(dim // 2, hidden, count, places) for count in outputs)

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> cropped and flipped pictures of the same shape."""
        return (random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip),)

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
    """Refuses pictures that have not the channels of `space`."""
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
