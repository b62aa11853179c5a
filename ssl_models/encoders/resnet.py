"""Residual networks (He et al. 2016, arXiv:1512.03385) of any width, with a stem for small pictures."""

from __future__ import annotations

import math
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
BLOCKS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}


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
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), NORMS[norm](channels)
            )

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.norm1(self.conv1(inputs)), inplace=True)
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(inputs), inplace=True)


def stage(channels_in: int, channels: int, stride: int, *, blocks: int, norm: str) -> nn.Sequential:
    """Basic blocks one after another: (B, channels_in, H, W) -> (B, channels, H / stride, W / stride)."""
    first = BasicBlock(channels_in, channels, stride, norm)
    return nn.Sequential(first, *(BasicBlock(channels, channels, 1, norm) for _ in range(blocks - 1)))


def require_settings(*, depth: int, width: int, stem: str, stem_stride: int, norm: str) -> None:
    """Refuses settings that no ResNet can be built from."""
    if depth not in BLOCKS:
        raise ValueError(f"encoder depth is {depth}; choose one of {', '.join(map(str, BLOCKS))}")
    if stem not in STEMS:
        raise ValueError(f"encoder stem is '{stem}'; choose one of {', '.join(STEMS)}")
    if norm not in NORMS:
        raise ValueError(f"encoder norm is '{norm}'; choose one of {', '.join(NORMS)}")
    if width < 1 or stem_stride < 1:
        raise ValueError(f"encoder width is {width} and stem_stride is {stem_stride}; both must be at least 1")


class ResNet(Encoder):
    """A ResNet of basic blocks. The protocols measure its layers conv1 and res2 to res5.

    depth: 10, 18 or 34 layers. Default 18. Paper 18 to 152; depth 10 has one block a stage.
    width: channels of conv1 and res2, doubled at each later stage. Default 16. Paper 64.
    stem: "small": one 3x3 convolution. "imagenet": the paper's, a 7x7 convolution and a 3x3 maximum, both of stride 2.
        Default "small".
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
        self.dim = 8 * width
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
            channels_out, stride = width * 2**number, 1 if number == 0 else 2
            self.add_module(f"res{number + 2}", stage(channels_in, channels_out, stride, blocks=blocks, norm=norm))
            channels_in = channels_out
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """With as many channels as the pictures, or the frames, have."""
        (part,) = cls.reads(data.shapes)
        return cls(**{"channels": data.shapes[part][-3]} | settings)

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same shape, mean 1/2 and deviation 1/4 taken out."""
        return (inputs - self.mean) / self.deviation

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


FROM_DATA = ("channels",)
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = ResNet
