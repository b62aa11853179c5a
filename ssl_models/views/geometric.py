"""Crops, flips and quarter turns of a batch, each sample with its own parameters.

Any number of crops, scalings and flips is one sampling grid for each picture. Two matrix products, rows @ picture @
columns.T, give the same, and were measured to be two to three times slower on a CPU.
Letters: B samples, K boxes a sample, C channels, H W height and width of the picture, S side of the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.views.drawing import uniform


def sample_places(start: Tensor, length: Tensor, size: int, *, inside: bool) -> Tensor:
    """(B, K) intervals of an axis -> (B, K, size) places on it, in pixels, where a pixel's centre is at n + 1/2.

    A negative length reads backwards from `start`, which is a flip. inside: stay half a pixel within the interval
    (whose ends must then be whole numbers), so that interpolation reads no pixel beyond it.
    """
    offset = (torch.arange(size, device=start.device) + 0.5) / size
    places = start[..., None] + length[..., None] * offset
    if not inside:
        return places
    low, high = torch.minimum(start, start + length) + 0.5, torch.maximum(start, start + length) - 0.5
    return places.clamp(low[..., None], high[..., None])


def resample(images: Tensor, boxes: Tensor, height: int, width: int, *, inside: bool = False) -> Tensor:
    """Cuts boxes out and scales each to `height` x `width`, bilinear, without anti-aliasing.

    images: (B, C, H, W) float. boxes: (B, K, 4) top, left, height, width in pixels; a negative height or width flips.
    inside: a box reads no pixel beyond itself. Returns (B, K, C, height, width).
    """
    batch, channels, rows, columns = images.shape
    count = boxes.shape[1]
    top, left, tall, wide = boxes.unbind(2)
    down = sample_places(top, tall, height, inside=inside) * (2 / rows) - 1  # (B, K, height)
    across = sample_places(left, wide, width, inside=inside) * (2 / columns) - 1  # (B, K, width)
    shape = (batch, count, height, width)
    grid = torch.stack([across[:, :, None, :].expand(shape), down[..., None].expand(shape)], dim=4)
    # The boxes of a picture lie below one another in one grid, so that no picture is copied.
    grid = grid.view(batch, count * height, width, 2)
    cut = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return cut.view(batch, channels, count, height, width).transpose(1, 2)


def random_boxes(
    generator: Generator, batch: int, height: int, width: int, *, smallest: float, flip: float, largest: float = 1.0
) -> Tensor:
    """(B, 1, 4) boxes whose area is U(smallest, largest) of the picture, of log-uniform aspect, at a random place.

    The distribution of Szegedy et al. 2015 (arXiv:1409.4842, section 6), which contrastive methods use. The aspect is
    3/4 to 4/3 times the picture's, or the range in which a box of that area still fits; others draw again in that case.
    `smallest` 1 gives the whole picture.
    flip: probability of a left-right flip.
    """
    require_fraction(smallest=smallest, largest=largest, flip=flip)
    require_positive(smallest=smallest)
    if largest < smallest:
        raise ValueError(f"the largest crop has an area of {largest}, which is below the smallest, {smallest}")
    draw = uniform(generator, 5, batch, axis=1)
    area = draw[0] * (largest - smallest) + smallest
    widest = area.log().neg().clamp(max=math.log(4 / 3))
    aspect = ((draw[1] * 2 - 1) * widest).exp()
    tall, wide = (area / aspect).sqrt() * height, (area * aspect).sqrt() * width
    top, left = draw[2] * (height - tall), draw[3] * (width - wide)
    flipped = draw[4] < flip
    return torch.stack([top, torch.where(flipped, left + wide, left), tall, torch.where(flipped, -wide, wide)], dim=1)[
        :, None
    ]


def random_crop_flip(
    images: Tensor,
    generator: Generator,
    *,
    smallest: float,
    flip: float = 0.5,
    size: Sequence[int] | None = None,
    largest: float = 1.0,
) -> Tensor:
    """(B, C, H, W) float -> (B, C, *size): a random resized crop and a left-right flip, drawn for each sample.

    smallest, largest: area of the crop, as a share of the whole picture, also where that is larger than `size`.
    size: height and width of the result, None for those of the pictures. There is no anti-aliasing, so pictures should
        be little larger: the largest crop is the whole picture. At the usual 1.15 times no pixel is skipped.
    """
    batch, _, height, width = images.shape
    boxes = random_boxes(generator, batch, height, width, smallest=smallest, flip=flip, largest=largest)
    return resample(images, boxes, *(size or (height, width)))[:, 0]


def require_square(shape: tuple[int, ...], method: str) -> None:
    """Refuses pictures whose shape a quarter turn would change."""
    if shape[-1] != shape[-2]:
        raise ValueError(f"{method} turns pictures by 90 degrees and needs square ones, not {shape[-2]} x {shape[-1]}")


def four_rotations(images: Tensor) -> Tensor:
    """(B, C, S, S) -> (4 B, C, S, S): all at 0 degrees, then all at 90 (counter-clockwise), 180 and 270; exact."""
    return torch.cat([torch.rot90(images, turns, (2, 3)) for turns in range(4)])


def rotate(images: Tensor, turns: Tensor) -> Tensor:
    """(B, C, S, S) turned by `turns` (B,) int64 quarters counter-clockwise, each sample by its own; exact."""
    batch = len(images)
    every = four_rotations(images).view(4, *images.shape)
    return every[turns, torch.arange(batch, device=images.device)]
