"""Transformer blocks, and embeddings of positions in a grid; named as in timm, so that weights go over by name.

Letters: B samples, L tokens, D their width, H heads, g h positions of a grid, down and across.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6
SPREAD = 0.02
"""Deviation of weights at the start (Dosovitskiy et al. 2021, as published)."""


class Attention(nn.Module):
    """(B, L, D) -> (B, L, D): self-attention of H heads (Vaswani et al. 2017, arXiv:1706.03762, section 3.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, length, width = tokens.shape
        each = self.qkv(tokens).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = each.permute(2, 0, 3, 1, 4).unbind(0)  # (B, H, L, D / H) each
        output: Tensor = self.proj(attended(query, key, value).transpose(1, 2).reshape(batch, length, width))
        return output


def attended(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """(B, H, L, D / H) each -> the same: softmax(query key^T / sqrt(D / H)) value (Vaswani et al. 2017, equation 1).

    On a CPU bf16 is computed in float32: of 65 tokens, torch's kernel for bf16 takes up to six times as long there with
    its gradient (torch 2.12).
    """
    if query.device.type != "cpu" or query.dtype != torch.bfloat16:
        return functional.scaled_dot_product_attention(query, key, value)
    with torch.autocast("cpu", enabled=False):
        return functional.scaled_dot_product_attention(query.float(), key.float(), value.float()).bfloat16()


class MLP(nn.Module):
    """(B, L, D) -> (B, L, D), each token by itself: two linear layers and a GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor) -> Tensor:
        output: Tensor = self.fc2(functional.gelu(self.fc1(tokens)))
        return output


class Block(nn.Module):
    """(B, L, D) -> (B, L, D): attention and MLP, each after a layer normalisation and added to what it was given."""

    def __init__(self, width: int, heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=EPSILON)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=EPSILON)
        self.mlp = MLP(width, int(width * mlp_ratio))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.norm1(tokens))
        output: Tensor = tokens + self.mlp(self.norm2(tokens))
        return output


def initialise(module: nn.Module) -> None:
    """Linear layers as ViT's: weights of deviation 0.02, cut off at two, and no biases."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.trunc_normal_(part.weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)
            nn.init.zeros_(part.bias)


def require_transformer(*, width: int, depth: int, heads: int, mlp_ratio: float, what: str) -> None:
    """Refuses settings that no transformer can be built from; `what` is what errors call it."""
    for name, value in (("depth", depth), ("heads", heads), ("width", width)):
        if value < 1:
            raise ValueError(f"{what} {name} is {value}; it must be at least 1")
    if not 1 <= width * mlp_ratio < math.inf:
        raise ValueError(f"{what} mlp_ratio is {mlp_ratio}; times the width, {width}, it must be at least 1")
    if width % heads:
        raise ValueError(f"{what} width is {width}; it must be divisible by the number of heads, {heads}")


def sine_positions(down: int, across: int, width: int, what: str = "encoder") -> Tensor:
    """(1, g * h, D) embeddings of a grid, row by row: a quarter each of sin and cos of the place across, and down.

    As in MoCo v3 (Chen et al. 2021, arXiv:2104.02057, section 3): frequencies from 1 to 1/10,000. Raises ValueError for
    a width that is not divisible by 4; `what` is what errors call its owner.
    """
    if width % 4:
        raise ValueError(f"{what} width is {width}; sine positions need one that is divisible by 4")
    rate = 10_000.0 ** (-torch.arange(width // 4, dtype=torch.float32) / (width // 4))
    row, column = torch.meshgrid(torch.arange(down), torch.arange(across), indexing="ij")
    along = [place.flatten()[:, None] * rate for place in (column, row)]
    return torch.cat([wave for angle in along for wave in (angle.sin(), angle.cos())], dim=1)[None]


def resized(positions: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Embeddings (1, g * h, D) of a grid -> those of another grid, bicubic; of the same grid they stay as they are."""
    if old == new:
        return positions
    square = positions.float().transpose(1, 2).reshape(1, -1, *old)
    other = functional.interpolate(square, size=new, mode="bicubic", antialias=True, align_corners=False)
    return other.flatten(2).transpose(1, 2)
