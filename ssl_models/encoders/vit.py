"""The vision transformer: a picture is a sequence of patches (Dosovitskiy et al. 2021, arXiv:2010.11929)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.transformer import (
    EPSILON,
    SPREAD,
    Block,
    initialise,
    require_transformer,
    resized,
    sine_positions,
)
from ssl_models.modalities import image

if TYPE_CHECKING:
    from ssl_models.data import DataSpec

AUTO, LEAST_PATCHES = "auto", 8
"""`patch: auto` leaves at least so many patches along the shorter side."""
LARGEST_PATCH = 16
POSITIONS = ("learnt", "sine")
POOLINGS = ("token", "mean")


class PatchEmbed(nn.Module):
    """(B, C, H, W) -> (B, L, D): each patch through one linear layer, row by row."""

    def __init__(self, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, width, patch, patch)
        nn.init.xavier_uniform_(self.proj.weight.view(width, -1))
        nn.init.zeros_(self.proj.bias)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Tensor:
        return self.proj(pictures).flatten(2).transpose(1, 2)


class ViT(Encoder):
    """A vision transformer. Protocols measure its layers block1, block2, ...: the maps of the patches' tokens.

    The defaults are ViT-Tiny's (Touvron et al. 2021, arXiv:2012.12877). Pictures of another size than `size` are taken
    too, such as small crops and tiles: learnt positions are interpolated for them (section 3.2 of the paper).

    patch: side of a patch in pixels, by which those of pictures must be divisible. "auto": the largest of 2, 4, 8 and
        16 that leaves 8 patches along the shorter side: 4 for 32 and 48 px, 8 for 64 and 96, 16 from 128. Where sides
        cannot be divided by it, the next lower number that divides them, if that is over half of it: 5 for 100 px, 15
        for 150. Default "auto". Paper 14 to 32, for pictures of 224 px.
    width: numbers of a token. Default 192. Paper 768 to 1,280.
    depth: number of blocks. Default 12. Paper 12 to 32.
    heads: of the attention. Default 3. Paper 12 to 16.
    mlp_ratio: width of the hidden layers, as a multiple of `width`. Default 4. Paper 4.
    positions: "learnt", or "sine": a fixed embedding, see `sine_positions`. Default "learnt". Paper "learnt".
    pooling: what the representation is. "token": the class token after the last normalisation. "mean": the mean of the
        patches' tokens, normalised. Default "token". Paper "token".
    channels: of the input. Default 3.
    size: height and width of the pictures that positions are made for. Default None: 224 each.
    """

    name = "vit"
    modalities = (image,)
    grid: tuple[int, int]

    def __init__(
        self,
        *,
        patch: int | str = AUTO,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        positions: str = "learnt",
        pooling: str = "token",
        channels: int = 3,
        size: list[int] | None = None,
    ) -> None:
        super().__init__()
        size = [224, 224] if size is None else list(size)
        patch = patch_for(size) if patch == AUTO else patch
        require_transformer(width=width, depth=depth, heads=heads, mlp_ratio=mlp_ratio, what="encoder")
        require_settings(patch=patch, positions=positions, pooling=pooling)
        self.patch, self.pooling, self.positions, self.dim = int(patch), pooling, positions, width
        self.settings = {
            "patch": self.patch,
            "width": width,
            "depth": depth,
            "heads": heads,
            "mlp_ratio": mlp_ratio,
            "positions": positions,
            "pooling": pooling,
            "channels": channels,
            "size": size,
        }
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.tensor(0.5), persistent=False)
        self.register_buffer("deviation", torch.tensor(0.25), persistent=False)
        self.grid = self.grid_of(size)
        self.patch_embed = PatchEmbed(channels, self.patch, width)
        self.cls_token = nn.Parameter(SPREAD * torch.randn(1, 1, width))
        self.pos_embed: Tensor
        places = self.grid[0] * self.grid[1]
        if positions == "learnt":
            self.pos_embed = nn.Parameter(SPREAD * torch.randn(1, 1 + places, width))
        else:
            fixed = torch.cat([torch.zeros(1, 1, width), sine_positions(*self.grid, width)], dim=1)
            self.register_buffer("pos_embed", fixed)
        self.transformer = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        initialise(self.transformer)

    @classmethod
    def from_data(cls, data: DataSpec, **settings: Any) -> Self:
        """For the pictures' channels and size."""
        channels, *size = cls.input_shape(data)
        given: dict[str, Any] = {"channels": channels, "size": size}
        return cls(**given | settings)

    def published_name(self, name: str) -> str:
        """timm's: "transformer.0.norm1.bias" -> "blocks.0.norm1.bias"; the norm after a mean is its `fc_norm`."""
        if name.startswith("norm.") and self.pooling == "mean":
            return f"fc_{name}"
        return f"blocks.{name.removeprefix('transformer.')}" if name.startswith("transformer.") else name

    def standardise(self, inputs: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> the same shape, mean 1/2 and deviation 1/4 taken out."""
        return (inputs - self.mean) / self.deviation

    def grid_of(self, size: torch.Size | list[int]) -> tuple[int, int]:
        """How many patches pictures of this height and width have, down and across. Raises ValueError for parts."""
        height, across = size
        if height % self.patch or across % self.patch or not height or not across:
            raise ValueError(
                f"encoder patch is {self.patch}; pictures of {height} x {across} px have no whole number of patches"
            )
        return height // self.patch, across // self.patch

    def embed(self, pictures: Tensor) -> Tensor:
        """(B, C, H, W), standardised -> the patches' tokens (B, L, D) with positions, without the class token."""
        grid, tokens = self.grid_of(pictures.shape[2:]), self.patch_embed(pictures)
        if self.positions == "sine" and grid != self.grid:
            return tokens + sine_positions(*grid, self.dim).to(tokens)
        embedded: Tensor = tokens + resized(self.pos_embed[:, 1:], self.grid, grid).to(tokens.dtype)
        return embedded

    def with_class(self, tokens: Tensor) -> Tensor:
        """(B, L, D) -> (B, 1 + L, D): the class token, and the patches' tokens."""
        first = (self.cls_token + self.pos_embed[:, :1]).to(tokens.dtype)
        return torch.cat([first.expand(tokens.shape[0], -1, -1), tokens], dim=1)

    def of_shown(self, inputs: Tensor, shown: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] and the numbers (B, l) int64 of the patches that are shown -> (B, 1 + l, D).

        The class token and those of the shown patches, normalised; the others are never computed (He et al. 2022,
        arXiv:2111.06377, section 3).
        """
        tokens = self.embed(self.standardise(inputs))
        hidden = self.with_class(tokens.gather(1, shown[..., None].expand(-1, -1, self.dim)))
        for block in self.transformer:
            hidden = block(hidden)
        output: Tensor = self.norm(hidden)
        return output

    def represent(self, *inputs: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """(B, C, H, W) -> the maps (B, D, g, h) of the patches' tokens after each block, and a vector (B, D)."""
        pictures = self.standardise(*inputs)
        grid, hidden, maps = self.grid_of(pictures.shape[2:]), self.with_class(self.embed(pictures)), {}
        for number, block in enumerate(self.transformer, start=1):
            hidden = block(hidden)
            maps[f"block{number}"] = hidden[:, 1:].transpose(1, 2).unflatten(2, grid)
        pooled: Tensor = self.norm(hidden[:, 0] if self.pooling == "token" else hidden[:, 1:].mean(1))
        return maps, pooled

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        """The maps of `represent`."""
        return self.represent(*inputs)[0]


def patch_for(size: list[int]) -> int:
    """The patch of "auto" for pictures of this height and width."""
    patch = LARGEST_PATCH
    while patch > 2 and min(size) // patch < LEAST_PATCHES:
        patch //= 2
    lower = range(patch, patch // 2, -1)
    return next((each for each in lower if not any(side % each for side in size)), patch)


def require_settings(*, patch: int | str, positions: str, pooling: str) -> None:
    """Refuses settings that are none of those that there are."""
    if not isinstance(patch, int) or patch < 1:
        raise ValueError(f"encoder patch is {patch!r}; it must be at least 1, or auto")
    if positions not in POSITIONS:
        raise ValueError(f"encoder positions is '{positions}'; choose one of {', '.join(POSITIONS)}")
    if pooling not in POOLINGS:
        raise ValueError(f"encoder pooling is '{pooling}'; choose one of {', '.join(POOLINGS)}")


FROM_DATA = ("channels", "size")
"""Settings that `from_data` fills in: params.yaml cannot have them."""

ENCODER = ViT
