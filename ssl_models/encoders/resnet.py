"""Residual networks (He et al. 2016, arXiv:1512.03385) of any width, with a stem for small pictures."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.encoders.encoder import Encoder
from ssl_models.modalities import image

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

STEMS = ("small", "imagenet")
AUTO, LARGE = "auto", 96
"""The stem that `from_data` chooses, and the shorter side in pixels from which it is that of the paper."""
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
BOTTLENECK = 50
"""The depth from which blocks are bottlenecks."""
EXPANSION = 4
"""How many times as wide as its 3x3 convolution a bottleneck ends."""


FEW_CHANNELS, LARGE_MAP = 12, 32
"""See Projection."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Group normalisation of `channels`: 32 groups as in the paper, fewer where a group would have under 4 channels."""
    return nn.GroupNorm(math.gcd(32, channels, max(1, channels // 4)), channels)


NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "group": group_norm}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, C, H, W) -> (B, channels, H / stride, W / stride)."""

    def __init__(self, channels_in: int, channels: int, stride: int, norm: str = "batch") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = NORMS[norm](channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = NORMS[norm](channels)
        self.shortcut = shortcut(channels_in, channels, stride, norm)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.norm1(self.conv1(inputs)), inplace=True)
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(inputs), inplace=True)


class Bottleneck(nn.Module):
    """1x1 to a quarter, 3x3, 1x1, and a shortcut: (B, C, H, W) -> (B, channels, H / stride, W / stride).

    The 3x3 convolution has the stride, as in Goyal et al. 2017 (arXiv:1706.02677, section 5.1) and torchvision; in the
    paper the first 1x1 has it.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, norm: str = "batch") -> None:
        super().__init__()
        narrow = channels // EXPANSION
        self.conv1 = nn.Conv2d(channels_in, narrow, 1, bias=False)
        self.norm1 = NORMS[norm](narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1, bias=False)
        self.norm2 = NORMS[norm](narrow)
        self.conv3 = nn.Conv2d(narrow, channels, 1, bias=False)
        self.norm3 = NORMS[norm](channels)
        self.shortcut = shortcut(channels_in, channels, stride, norm)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.norm1(self.conv1(inputs)), inplace=True)
        hidden = functional.relu(self.norm2(self.conv2(hidden)), inplace=True)
        return functional.relu(self.norm3(self.conv3(hidden)) + self.shortcut(inputs), inplace=True)


class Projection(nn.Conv2d):
    """The 1x1 convolution of a shortcut: (B, C, H, W) -> (B, channels, H / stride, W / stride).

    torch 2.12 writes beyond its memory in the backward pass of such a convolution of stride 2, in channels_last on a
    CPU, where there are few channels and large maps (seen: 4 and 8, of 48 pixels or more). There the pixels are chosen
    first, which gives the same values.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if inputs.shape[1] < FEW_CHANNELS and max(inputs.shape[2:]) > LARGE_MAP:
            down, across = self.stride
            return functional.conv2d(inputs[:, :, ::down, ::across], self.weight)
        return super().forward(inputs)


def shortcut(channels_in: int, channels: int, stride: int, norm: str) -> nn.Module:
    """What a block adds its input by: as it is, or through a 1x1 convolution where the shape changes."""
    if stride == 1 and channels_in == channels:
        return nn.Identity()
    return nn.Sequential(Projection(channels_in, channels, 1, stride, bias=False), NORMS[norm](channels))


def stage(channels_in: int, channels: int, stride: int, *, blocks: int, norm: str, deep: bool = False) -> nn.Sequential:
    """Blocks one after another: (B, channels_in, H, W) -> (B, channels, H / stride, W / stride). deep: bottlenecks."""
    block = Bottleneck if deep else BasicBlock
    first = block(channels_in, channels, stride, norm)
    return nn.Sequential(first, *(block(channels, channels, 1, norm) for _ in range(blocks - 1)))


def require_settings(*, depth: int, width: int, stem: str, stem_stride: int, norm: str) -> None:
    """Refuses settings that no ResNet can be built from."""
    if depth not in BLOCKS:
        raise ValueError(f"encoder depth is {depth}; choose one of {', '.join(map(str, BLOCKS))}")
    if stem == AUTO:
        raise ValueError("encoder stem is 'auto', which is chosen by the data: make the encoder with `from_data`")
    if stem not in STEMS:
        raise ValueError(f"encoder stem is '{stem}'; choose one of {', '.join((*STEMS, AUTO))}")
    if norm not in NORMS:
        raise ValueError(f"encoder norm is '{norm}'; choose one of {', '.join(NORMS)}")
    if width < 1 or stem_stride < 1:
        raise ValueError(f"encoder width is {width} and stem_stride is {stem_stride}; both must be at least 1")


def for_data(encoder: type[Encoder], data: DataSpec, settings: dict[str, Any]) -> dict[str, Any]:
    """`settings` with as many channels as the pictures, or the frames, have, and with a stem that suits their size."""
    channels, height, width = encoder.input_shape(data)
    settings = {"channels": channels} | settings
    if settings.get("stem") == AUTO:
        settings["stem"] = "small" if min(height, width) < LARGE else "imagenet"
    return settings


class ResNet(Encoder):
    """A ResNet of basic blocks, or of bottlenecks from 50 layers on. Protocols measure its layers conv1, res2 to res5.

    depth: 10, 18, 34, 50 or 101 layers. Default 18. Paper 18 to 152; depth 10 has one block a stage.
    width: channels of conv1 and res2, doubled at each later stage; bottlenecks end four times as wide. Default 16.
        Paper 64.
    stem: "small": one 3x3 convolution. "imagenet": the paper's, a 7x7 convolution and a 3x3 maximum, both of stride 2.
        "auto": "small" for pictures under 96 px, else "imagenet". Default "small".
    stem_stride: stride of the "small" stem. Default 2.
    channels: of the input. Default 3.
    norm: "batch", or "group" for group normalisation (Wu & He 2018, arXiv:1803.08494), which does not depend on other
        samples of the batch. Default "batch", as in the paper.
    """

    name = "resnet"
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
    ) -> None:
        super().__init__()
        require_settings(depth=depth, width=width, stem=stem, stem_stride=stem_stride, norm=norm)
        expansion = EXPANSION if depth >= BOTTLENECK else 1
        self.dim = 8 * width * expansion
        self.settings = {
            "depth": depth,
            "width": width,
            "stem": stem,
            "stem_stride": stem_stride,
            "channels": channels,
            "norm": norm,
        }
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)
        self.register_buffer("deviation", torch.tensor(0.25), persistent=False)
        kernel, stride = (3, stem_stride) if stem == "small" else (7, 2)
        convolution = nn.Conv2d(channels, width, kernel, stride, kernel // 2, bias=False)
        self.conv1 = nn.Sequential(convolution, NORMS[norm](width), nn.ReLU(inplace=True))
        self.maximum: nn.Module = nn.Identity() if stem == "small" else nn.MaxPool2d(3, 2, 1)
        channels_in = width
        for number, blocks in enumerate(BLOCKS[depth]):
            channels_out, stride = width * 2**number * expansion, 1 if number == 0 else 2
            built = stage(channels_in, channels_out, stride, blocks=blocks, norm=norm, deep=depth >= BOTTLENECK)
            self.add_module(f"res{number + 2}", built)
            channels_in = channels_out
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """With as many channels as the pictures, or the frames, have, and a stem for their size."""
        return cls(**for_data(cls, data, settings))

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same shape, mean 1/2 and deviation 1/4 taken out."""
        return (inputs - self.mean) / self.deviation

    def published_name(self, name: str) -> str:
        """torchvision's, see `torchvision_name`."""
        return torchvision_name(name)

    def blocks(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """conv1, res2, res3, res4, res5: (B, C, H, W) -> (B, channels, H', W')."""
        stages = dict(self.named_children())
        return {
            "conv1": self.conv1,
            "res2": lambda hidden: stages["res2"](self.maximum(hidden)),
            **{name: stages[name] for name in ("res3", "res4", "res5")},
        }

    def pool(self, last: Tensor) -> Tensor:
        """(B, dim, H, W) -> (B, dim): the mean over positions."""
        return last.mean((2, 3))


TORCHVISION: dict[str, str | Callable[[re.Match[str]], str]] = {
    r"^conv1\.0": "conv1",
    r"^conv1\.1": "bn1",
    r"^res(\d)": lambda found: f"layer{int(found[1]) - 1}",
    r"\.norm(\d)": r".bn\1",
    r"\.shortcut\.": ".downsample.",
}
"""What to put for parts of the names of weights, to have torchvision's."""


def torchvision_name(name: str) -> str:
    """What torchvision calls the weight `name` of a ResNet: "res2.0.norm1.bias" -> "layer1.0.bn1.bias".

    With width 64 and the stem "imagenet" both have the same weights and compute the same from standardised pictures.
    """
    for part, other in TORCHVISION.items():
        name = re.sub(part, other, name)
    return name


FROM_DATA = ("channels",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = ResNet
