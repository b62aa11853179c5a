"""A transformer from some patches of a picture to all of them, which is removed after training like a head."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ssl_models.encoders.transformer import (
    EPSILON,
    SPREAD,
    Block,
    initialise,
    require_transformer,
    sine_positions,
)

MLP_RATIO = 4.0


class PatchDecoder(nn.Module):
    """Tokens of shown patches, and their places -> numbers of every patch, (B, L, outputs).

    He et al. 2022 (arXiv:2111.06377, section 3): a hidden patch is given as one token that is learnt, and its place.

    grid: patches down and across. Raises ValueError for settings that no transformer can be built from.
    """

    def __init__(self, dim: int, grid: tuple[int, int], outputs: int, *, width: int, depth: int, heads: int) -> None:
        super().__init__()
        require_transformer(width=width, depth=depth, heads=heads, mlp_ratio=MLP_RATIO, what="decoder")
        self.narrow = nn.Linear(dim, width)
        self.hidden_token = nn.Parameter(SPREAD * torch.randn(1, 1, width))
        self.places: Tensor
        self.register_buffer("places", sine_positions(*grid, width, "decoder"), persistent=False)
        self.blocks = nn.ModuleList(Block(width, heads, MLP_RATIO) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.last = nn.Linear(width, outputs)
        initialise(self)

    def forward(self, tokens: Tensor, shown: Tensor) -> Tensor:
        """(B, 1 + l, dim), the class token first, and the places (B, l) int64 of the shown patches."""
        narrow = self.narrow(tokens)
        batch, width = len(narrow), narrow.shape[2]
        every = self.hidden_token.to(narrow.dtype).expand(batch, self.places.shape[1], width)
        every = every.scatter(1, shown[..., None].expand(-1, -1, width), narrow[:, 1:]) + self.places.to(narrow.dtype)
        hidden = torch.cat([narrow[:, :1], every], dim=1)
        for block in self.blocks:
            hidden = block(hidden)
        output: Tensor = self.last(self.norm(hidden)[:, 1:])
        return output
