"""CPC on images: rows of patches predict the rows below (van den Oord et al. 2018, arXiv:1807.03748, section 3.2).

Version 2 is Hénaff et al. 2020 (arXiv:1905.09272). Every patch of an overlapping grid is encoded by itself. A context
network sees a row and those above it, and predicts the vectors of the rows below. A predicted vector must be told from
those of other patches, of the same picture and of others.

Letters: B pictures, G rows and columns of the grid, D numbers of an encoder's vector, P of a projection, Q predictions,
N negatives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.data import DataSpec
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.shapes import require_input
from ssl_models.losses.contrastive import info_nce, info_nce_chance, similarity, unit
from ssl_models.method import Method, Scored
from ssl_models.modalities.image import MildViews
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import in_batch
from ssl_models.views.patch_grid import crop_patches, cut_patches, require_patch_grid
from ssl_models.views.photometric import random_grey


class MaskedBlock(nn.Module):
    """(B, G, G, D) -> the same shape: a residual bottleneck that sees a row and the one above it, three columns wide.

    As in the context network of arXiv:1905.09272 (appendix): 1x1; three columns; two rows, padded above; 1x1. The
    middle two are one convolution here, a 3x3 one without its last row.
    layer_norm: over the D numbers of a position, so that it depends on no other position.
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

    The context c of row i sees the rows 0 to i. Each block adds one row above, and one column on either side.
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

    The papers have pictures of 256 px, and Adam with a learning rate of 2e-4. Version 1 has grey pictures, patches
    cropped to 60 of 64 px, and no batch norm. Version 2 has layer norm, four directions, and patches that are flipped
    and change colour.

    Limits. In an encoder with batch norm, patches influence each other through their common statistics, whatever the
    context is masked to see; one with `norm: group` has no such path. The encoder is trained on scaled patches and is
    used on whole pictures. Version 1 learns little at 32 px: colour and brightness alone tell which patches belong
    together.

    version: of the context network and the patches. Default 2: layer norms in the context; predictions down, left, up
        and right, each with its own context; each patch is flipped and its colours changed. No elastic deformation and
        no shearing are done, and patches become grey instead of losing two of three channels. 1: predictions downwards,
        from a context without norms.
    grid: rows and columns of patches. Default 3: at 32 px it learns about as much an epoch as 4, at half the cost.
        Paper 7.
    tile: side in pixels that patches are scaled to. Default 16. Paper 64, unscaled.
    steps: rows predicted, less than `grid`. Default 2. The first overlaps the context by half; leaving it out did not
        help here. Paper 5; the pseudo-code of version 2 predicts the third row below only.
    negatives: other patches of the batch, drawn anew for each batch, also from the same picture; 0 for all. Default
        127.
    temperature: divides the cosine similarities. Default 0.2. The papers have plain products z W_k c, with which
        version 2 learned much more slowly here.
    projection: P, the length of predictions and targets, which are unit vectors. Default 64. Own.
    blocks: depth of the context. Default 2.
    hidden: width of the context. Default 64.
    smallest_crop, flip: of the picture, see MildViews.
    grey: probability of a grey picture. Default 0. Paper 1 in version 1.
    smallest_patch: least area of a patch that is shown. Default 0.5. Paper 0.88 in version 1 (60 of 64 px).
    patch_flip: probability that a patch is flipped, in version 2 only. Default 0.5.
    strength, hue, invert, gamma: of each patch by itself, in version 2 only; see Augmentation.
    patch_grey: probability that a patch becomes grey, in version 2 only. Default 0.2.
    """

    family = "contrastive"
    reference = "van den Oord et al. 2018, arXiv:1807.03748"
    crops = by_rows = True

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
        smallest_crop: float = MildViews.smallest_crop,
        flip: float = MildViews.flip,
        grey: float = 0.0,
        smallest_patch: float = 0.5,
        patch_flip: float = 0.5,
        strength: float = Augmentation.strength,
        hue: float = Augmentation.hue,
        patch_grey: float = Augmentation.grey,
        invert: float = Augmentation.invert,
        gamma: float = Augmentation.gamma,
    ) -> None:
        super().__init__(encoder)
        if version not in (1, 2):
            raise ValueError(f"version is {version}; cpc_image has versions 1 and 2")
        require_patch_grid(data.shape, grid=grid, tile=tile, method="cpc_image")
        require_input(encoder, (data.shape[0], tile, tile), "tiles")
        if not 1 <= steps < grid:
            raise ValueError(f"steps is {steps}; a grid of {grid} rows allows 1 to {grid - 1}")
        patches = data.samples * grid * grid
        if not 0 <= negatives < patches:
            raise ValueError(
                f"negatives is {negatives}; {patches} patches in all allow 1 to {patches - 1}, or 0 for all"
            )
        require_positive(temperature=temperature, projection=projection, blocks=blocks, hidden=hidden)
        require_positive(smallest_patch=smallest_patch)
        require_fraction(grey=grey, smallest_patch=smallest_patch, patch_flip=patch_flip, patch_grey=patch_grey)
        self.version, self.grid, self.tile = version, grid, tile
        self.negatives, self.temperature = negatives, temperature
        self.mild_views, self.grey = MildViews(smallest_crop, flip, data.shape[1:]), grey
        self.smallest_patch, self.patch_flip = smallest_patch, patch_flip
        self.patch_change = Augmentation(strength=strength, hue=hue, grey=patch_grey, invert=invert, gamma=gamma)
        self.chance = info_nce_chance(negatives) if negatives else None
        self.target = nn.Linear(encoder.dim, projection, bias=False)
        self.directions = nn.ModuleList(
            RowPredictor(encoder.dim, projection, steps=steps, blocks=blocks, hidden=hidden, layer_norm=version == 2)
            for _ in range(4 if version == 2 else 1)
        )

    def views(self, images: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8 -> patches (B G G, C, tile, tile), a picture's next to each other, row by row, and the
        numbers of negatives + 1 different ones of them, int64."""
        pictures = self.mild_views(images, generator)
        patches = cut_patches(random_grey(pictures, generator, self.grey), grid=self.grid)  # (B, G, G, C, h, w)
        flip = self.patch_flip if self.version == 2 else 0.0
        tiles = crop_patches(patches, generator, tile=self.tile, smallest=self.smallest_patch, flip=flip)
        if self.version == 2:
            tiles = self.patch_change.colours(tiles, generator)
        return tiles, self.draw(in_batch(generator, len(tiles)), generator)

    def layout(self, views: Sequence[Tensor]) -> tuple[int, ...]:  # noqa: ARG002
        return 1, 0

    def draw(self, patches: int, generator: Generator) -> Tensor:
        """(N + 1,) int64 different patches of a batch, one more than are compared, see `exclude_own`."""
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

    def loss(self, *views: Tensor, index: Tensor) -> Scored:
        """InfoNCE, mean over all predictions, and how often the patch itself is the nearest (only logged)."""
        tiles, drawn = views
        vectors = self.encoder(tiles)  # (B G G, D)
        targets = unit(self.target(vectors))  # (B G G, P)
        predicted, own = self.predictions(vectors.view(len(index), self.grid, self.grid, -1))
        predicted = unit(predicted) / self.temperature  # (Q, P)
        positive = (predicted * targets[own]).sum(1)
        negative = exclude_own(similarity(predicted, targets[drawn]), own, drawn, len(targets))
        accuracy = (positive > negative.amax(1)).float().mean().detach()
        terms = {"loss": info_nce(positive, negative).mean(), "accuracy": accuracy}
        return Scored(terms, chance=info_nce_chance(len(drawn) - 1))


def exclude_own(logits: Tensor, own: Tensor, drawn: Tensor, patches: int) -> Tensor:
    """(Q, N + 1) logits against the patches `drawn` -> the same, changed in place, with N that count in each row.

    A row's own patch `own` (Q,) becomes minus infinity where it was drawn, and the last patch where it was not. So
    every row has N negatives, and chance is exact.
    """
    column = torch.full((patches,), len(drawn) - 1, device=drawn.device)
    column[drawn] = torch.arange(len(drawn), device=drawn.device)
    return logits.scatter_(1, column[own][:, None], -math.inf)


METHOD = CPCImage
