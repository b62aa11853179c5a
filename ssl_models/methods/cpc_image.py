"""CPC on images: what the rows of patches above say of the rows below (van den Oord et al. 2018).

arXiv:1807.03748, section 3.2; version 2 is Hénaff et al. 2020 (arXiv:1905.09272). Every patch of an overlapping grid
is encoded by itself; a context that sees its own row and those above predicts the vectors of the rows below, which
must be told from the vectors of other patches of the same picture and of others.

Letters: B pictures, G rows and columns of the grid, D numbers of an encoder's vector, P of a projection, Q predictions,
N negatives.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.encoders.encoder import Encoder
from ssl_models.losses.contrastive import info_nce, info_nce_chance, similarity, unit
from ssl_models.method import DataSpec, Method
from ssl_models.views.geometric import as_float, random_crop_flip
from ssl_models.views.patch_grid import crop_patches, cut_patches, require_patch_grid
from ssl_models.views.photometric import colour_jitter, random_grey, require_jitter


class MaskedBlock(nn.Module):
    """(B, G, G, D) -> the same shape: a residual bottleneck that reads a row and the one above it, three columns wide.

    As the context network of arXiv:1905.09272 (appendix): 1x1, three columns, two rows of which the upper is padded,
    1x1; the middle two are one convolution here, a 3x3 one without its last row. layer_norm: over the D numbers of a
    position, so that it knows no other position.
    """

    def __init__(self, dim: int, hidden: int, *, layer_norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim) if layer_norm else nn.Identity()
        self.narrow = nn.Linear(dim, hidden)
        self.above = nn.Conv2d(hidden, hidden, (2, 3))
        self.widen = nn.Linear(hidden, dim)

    def forward(self, grid: Tensor) -> Tensor:
        hidden = functional.relu(self.narrow(self.norm(grid))).permute(0, 3, 1, 2)  # (B, hidden, G, G)
        hidden = self.above(functional.pad(hidden, (1, 1, 1, 0)))  # a column on either side, a row on top
        return grid + self.widen(functional.relu(hidden).permute(0, 2, 3, 1))


class RowPredictor(nn.Module):
    """(B, G, G, D) vectors -> for k = 1 .. steps the predictions W_k c, (B, G - k, G, P): row i is for row i + k.

    The context c of row i sees the rows 0 to i; each block adds a row above and a column on either side.
    """

    def __init__(self, dim: int, projection: int, *, steps: int, blocks: int, hidden: int, layer_norm: bool) -> None:
        super().__init__()
        self.context = nn.Sequential(
            *(MaskedBlock(dim, hidden, layer_norm=layer_norm) for _ in range(blocks)), nn.ReLU()
        )
        self.predict = nn.ModuleList(nn.Linear(dim, projection, bias=False) for _ in range(steps))

    def forward(self, grid: Tensor) -> list[Tensor]:
        context = self.context(grid)
        return [predict(context[:, :-k]) for k, predict in enumerate(self.predict, start=1)]


class CPCImage(Method):
    """InfoNCE of predicted patches against `negatives` others. Chance is log(negatives + 1).

    The papers: 256 px, 7 x 7 patches of 64 px, five rows predicted, Adam 2e-4, pictures grey, patches cropped to 60 of
    64 px (version 1, without any batch norm); layer norm, four directions, patches flipped and their colours changed
    (version 2, whose pseudo-code predicts the third row below only).
    version: 1 predicts downwards from a context without norms. 2 has layer norms in it, predicts down, left, up and
    right, each with its own context, and flips and colours each patch by itself. Of its patch augmentations these are
    here: no elastic deformation, no shearing, and grey in place of dropping two of three channels.
    grid: rows and columns of patches. tile: side that they are scaled to. At 32 px a grid of 3 learns about as much an
    epoch as one of 4 and costs half. steps: rows predicted, less than `grid`; the first overlaps the context by half,
    yet leaving it out did not help here.
    negatives: other patches of the batch, drawn anew for each, also from the same picture; 0: all of them.
    projection: P; predictions and targets are unit vectors and compared at `temperature`, where the papers have bare
    products z W_k c, with which version 2 learned much more slowly here.
    blocks, hidden: depth and width of the context.
    smallest_crop, flip, grey: of the picture. smallest_patch: least area of a patch that is shown (paper 1: 0.88).
    patch_flip, strength, hue, patch_grey: of each patch, in version 2 only.

    Two weaknesses. An encoder with batch norm lets patches know each other by their common statistics, past any mask;
    one with `norm: group` does not. And the encoder sees scaled patches here and whole pictures wherever it is used.
    Version 1 learns little at 32 px, for colour and brightness alone tell which patches belong together.
    """

    family = "contrastive"
    reference = "van den Oord et al. 2018, arXiv:1807.03748"

    def __init__(
        self,
        encoder: Encoder,
        data: DataSpec,
        *,
        version: int = 2,
        grid: int = 3,
        tile: int = 16,
        steps: int = 2,
        negatives: int = 127,
        temperature: float = 0.2,
        projection: int = 64,
        blocks: int = 2,
        hidden: int = 64,
        smallest_crop: float = 0.5,
        flip: float = 0.5,
        grey: float = 0.0,
        smallest_patch: float = 0.5,
        patch_flip: float = 0.5,
        strength: float = 0.5,
        hue: float = 0.5,
        patch_grey: float = 0.2,
    ) -> None:
        super().__init__(encoder)
        if version not in (1, 2):
            raise ValueError(f"version is {version}; cpc_image has versions 1 and 2")
        require_patch_grid(data.shape, grid=grid, tile=tile, method="cpc_image")
        if not 1 <= steps < grid:
            raise ValueError(f"steps is {steps}; a grid of {grid} rows allows 1 to {grid - 1}")
        patches = data.samples * grid * grid
        if not 0 <= negatives < patches:
            raise ValueError(
                f"negatives is {negatives}; {patches} patches in all allow 1 to {patches - 1}, or 0 for all"
            )
        require_positive(temperature=temperature, projection=projection, blocks=blocks, hidden=hidden)
        require_positive(smallest_crop=smallest_crop, smallest_patch=smallest_patch)
        require_fraction(smallest_crop=smallest_crop, flip=flip, grey=grey)
        require_fraction(smallest_patch=smallest_patch, patch_flip=patch_flip, patch_grey=patch_grey)
        require_jitter(strength, hue)
        self.version, self.grid, self.tile = version, grid, tile
        self.negatives, self.temperature = negatives, temperature
        self.smallest_crop, self.flip, self.grey = smallest_crop, flip, grey
        self.smallest_patch, self.patch_flip = smallest_patch, patch_flip
        self.strength, self.hue, self.patch_grey = strength, hue, patch_grey
        self.chance = info_nce_chance(negatives) if negatives else None
        self.target = nn.Linear(encoder.dim, projection, bias=False)
        self.directions = nn.ModuleList(
            RowPredictor(encoder.dim, projection, steps=steps, blocks=blocks, hidden=hidden, layer_norm=version == 2)
            for _ in range(4 if version == 2 else 1)
        )

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> patches (B G G, C, tile, tile), a picture's next to each other, row by row, and the
        numbers of negatives + 1 different ones of them, int64."""
        pictures = random_crop_flip(as_float(images), generator, smallest=self.smallest_crop, flip=self.flip)
        patches = cut_patches(random_grey(pictures, generator, self.grey), grid=self.grid)  # (B, G, G, C, h, w)
        flip = self.patch_flip if self.version == 2 else 0.0
        tiles = crop_patches(patches, generator, tile=self.tile, smallest=self.smallest_patch, flip=flip)
        if self.version == 2:
            tiles = colour_jitter(tiles, generator, strength=self.strength, hue=self.hue, grey=self.patch_grey)
        return tiles, self.draw(len(tiles), generator)

    def draw(self, patches: int, generator: Generator) -> Tensor:
        """(N + 1,) int64 different patches of a batch's: one more than is compared with, see `exclude_own`."""
        if self.negatives >= patches:
            raise ValueError(
                f"negatives is {self.negatives}, and a batch of {patches // self.grid**2} pictures has only {patches} "
                f"patches; lower negatives to {patches - 1} or less, give 0 for all, or raise batch_size"
            )
        count = self.negatives + 1 if self.negatives else patches
        return torch.randperm(patches, generator=generator, device=generator.device)[:count]

    def predictions(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """(B, G, G, D) vectors -> all predictions (Q, P) and the number of the patch that each is for (Q,) int64."""
        numbers = torch.arange(grid.shape[:3].numel(), device=grid.device).view(grid.shape[:3])
        predicted, own = [], []
        for turns, direction in enumerate(self.directions):
            rows = torch.rot90(numbers, turns, (1, 2))
            for k, prediction in enumerate(direction(torch.rot90(grid, turns, (1, 2))), start=1):
                predicted.append(prediction.flatten(0, 2))
                own.append(rows[:, k:].flatten())
        return torch.cat(predicted), torch.cat(own)

    def loss(self, *views: Tensor, index: Tensor) -> dict[str, Tensor]:
        """InfoNCE, mean over all predictions, and how often the patch itself is the nearest (only logged)."""
        tiles, drawn = views
        vectors = self.encoder(tiles)  # (B G G, D)
        targets = unit(self.target(vectors))  # (B G G, P)
        predicted, own = self.predictions(vectors.view(len(index), self.grid, self.grid, -1))
        predicted = unit(predicted) / self.temperature  # (Q, P)
        positive = (predicted * targets[own]).sum(1)
        negative = exclude_own(similarity(predicted, targets[drawn]), own, drawn, len(targets))
        self.chance = info_nce_chance(len(drawn) - 1)
        accuracy = (positive > negative.amax(1)).float().mean().detach()
        return {"loss": info_nce(positive, negative).mean(), "accuracy": accuracy}


def exclude_own(logits: Tensor, own: Tensor, drawn: Tensor, patches: int) -> Tensor:
    """(Q, N + 1) logits against the patches `drawn` -> the same, changed in place, with N that count in each row.

    Minus infinity is written over a row's own patch `own` (Q,) where it was drawn and over the last one where it was
    not, so that every row has N negatives and chance is exact.
    """
    column = torch.full((patches,), len(drawn) - 1, device=drawn.device)
    column[drawn] = torch.arange(len(drawn), device=drawn.device)
    return logits.scatter_(1, column[own][:, None], -math.inf)


METHOD = CPCImage
