"""Two residual networks of half the width side by side, each for its own part of the channels.

Zhang, Isola & Efros 2017 (arXiv:1611.09842), section 3.2: a network is split in two along the channels of every layer.
No connection leads from one half to the other. The representation of a layer is the maps of both halves, concatenated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet, for_data
from ssl_models.modalities import image
from ssl_models.views.lab import LIGHTNESS_SCALE, rgb_to_lab

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

SPACES = {"lab": (1, 2), "depth": (1, 3)}
"""Space -> number of channels of each half: lightness and colour, or nearness and RGB."""

COLOUR_SCALE = 220.0
"""a* and b* of sRGB are in [-108, 99]; divided by this, and 1/2 added, they are in [0, 1]."""


class SplitResNet(Encoder):
    """Two ResNets; a layer's map holds the first half's channels and then as many of the second's.

    depth, stem, stem_stride, norm: of both halves, see ResNet.
    width: of the whole, so that `dim` and every layer's channels are those of a ResNet of this width; even. Default 16.
    channels: of the input, 3 for "lab" and 4 for "depth". Default 3.
    space: "lab": the input is RGB; the first half sees lightness, the second the colours a and b. "depth": the input is
        RGB, and nearness as a fourth channel; the first half sees nearness, the second RGB. Default "lab".
    """

    name = "split"
    modalities = (image,)
    convolutional = True

    def __init__(
        self,
        *,
        depth: int = 18,
        width: int = 16,
        stem: str = "small",
        stem_stride: int = 2,
        channels: int = 3,
        norm: str = "batch",
        space: str = "lab",
    ) -> None:
        super().__init__()
        if space not in SPACES:
            raise ValueError(f"encoder space '{space}' is unknown; choose one of {', '.join(SPACES)}")
        if channels != sum(SPACES[space]):
            raise ValueError(
                f"encoder space '{space}' needs pictures of {sum(SPACES[space])} channels, and these have {channels}"
            )
        if width < 2 or width % 2:
            raise ValueError(f"encoder width {width} cannot be split in two halves; it must be even, and at least 2")
        self.space = space
        self.first, self.second = (
            ResNet(depth=depth, width=width // 2, stem=stem, stem_stride=stem_stride, channels=seen, norm=norm)
            for seen in SPACES[space]
        )
        self.dim = self.first.dim + self.second.dim
        self.settings = self.first.settings | {"width": width, "channels": channels, "space": space}

    def parts(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """(B, channels, H, W) in [0, 1] -> the inputs of both halves, in [0, 1]: (B, 1, H, W), (B, 2 or 3, H, W)."""
        if self.space == "depth":
            return inputs[:, 3:], inputs[:, :3]
        lab = rgb_to_lab(inputs)
        return lab[:, :1] / LIGHTNESS_SCALE, lab[:, 1:] / COLOUR_SCALE + 0.5

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """With as many channels as the pictures, or the frames, have, and a stem for their size."""
        return cls(**for_data(cls, data, settings))

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, channels, H, W) in [0, 1] -> both parts, each standardised by its half, in one tensor."""
        first, second = self.parts(inputs)
        return torch.cat([self.first.standardise(first), self.second.standardise(second)], dim=1)

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """conv1, res2, res3, res4, res5, each made of both halves' blocks: (B, C, H, W) -> (B, channels, H', W')."""
        first, second = self.first.blocks(), self.second.blocks()
        return {layer: side_by_side(first[layer], second[layer], layer == "conv1") for layer in first}

    def pool(self, last: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim): the mean over positions."""
        return last.mean((2, 3))


def side_by_side(
    first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor], inputs: bool
) -> Callable[[Tensor], Tensor]:
    """A block of two. The first takes the first half of the channels, the second the others.

    inputs: whether the block takes the network's input, of whose channels the first half of the network sees one.
    """

    def block(hidden: Tensor) -> Tensor:
        front = 1 if inputs else hidden.shape[1] // 2
        return torch.cat([first(hidden[:, :front]), second(hidden[:, front:])], dim=1)

    return block


FROM_DATA = ("channels",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = SplitResNet
