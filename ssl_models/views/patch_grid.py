"""A picture cut into a grid of overlapping patches, and a random part of each patch.

Letters: B samples, G rows and columns of the grid, C channels, H W height and width of the picture, h w of a patch, t
side of a tile: a patch that was scaled.
"""

from __future__ import annotations

from torch import Generator, Tensor

from ssl_models.bounds import require_picture, require_positive
from ssl_models.views.geometric import random_boxes, resample

SMALLEST_STRIDE = 4


def patch_places(extent: int, grid: int) -> tuple[int, int]:
    """Side and stride, in whole pixels, of `grid` patches that cover `extent` pixels from end to end.

    The stride is extent / (grid + 1), rounded down, so that a patch, which takes what the strides leave, overlaps its
    neighbour by half or a little more: 64 px with stride 32 for 7 patches in 256 px, as in van den Oord et al. 2018
    (arXiv:1807.03748, section 3.2); 14 px with stride 6 for 4 patches in 32 px.
    """
    stride = extent // (grid + 1)
    return extent - (grid - 1) * stride, stride


def require_patch_grid(shape: tuple[int, ...], *, grid: int, tile: int, method: str) -> None:
    """Refuses a grid of fewer than two rows, pictures too small for it, and a tile without a pixel."""
    _, height, width = require_picture(shape, method)
    if grid < 2:
        raise ValueError(f"grid is {grid}; {method} needs at least 2 rows and columns of patches")
    require_positive(tile=tile)
    smallest = SMALLEST_STRIDE * (grid + 1)
    if min(height, width) < smallest:
        raise ValueError(
            f"grid is {grid}; {method} needs pictures of at least {smallest} px for it, so that a patch has "
            f"{2 * SMALLEST_STRIDE}; these are {height} x {width}"
        )


def cut_patches(images: Tensor, *, grid: int) -> Tensor:
    """(B, C, H, W) -> (B, G, G, C, h, w): pixels unchanged, rows from the top, columns from the left.

    A view of the picture's memory where possible: nothing is copied or interpolated.
    """
    (tall, down), (wide, across) = (patch_places(extent, grid) for extent in images.shape[2:])
    return images.unfold(2, tall, down).unfold(3, wide, across).permute(0, 2, 3, 1, 4, 5)


def crop_patches(patches: Tensor, generator: Generator, *, tile: int, smallest: float, flip: float) -> Tensor:
    """(B, G, G, C, h, w) -> (B G G, C, tile, tile): of each patch a random part, flipped or not, scaled to a tile.

    The part and the flip are drawn for each patch: an area of U(smallest, 1) of it (`random_boxes`). A `smallest` of 1
    and a `flip` of 0 only scale. No tile sees a pixel beyond its patch.
    """
    flat = patches.flatten(0, 2)  # (B G G, C, h, w)
    boxes = random_boxes(generator, len(flat), flat.shape[2], flat.shape[3], smallest=smallest, flip=flip)
    return resample(flat, boxes, tile, tile)[:, 0]
