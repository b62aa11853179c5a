"""Jigsaw puzzles: nine tiles of a picture, and the orders to show them in.

Letters: B samples, C channels, H W height and width of the picture, P permutations. A tile is square.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.views.drawing import uniform
from ssl_models.views.tile_colours import cut_shifted, require_shift

GRID = 3
TILES = GRID * GRID
SMALLEST_CELL = 8
ALL_ORDERS = math.factorial(TILES)
GREEDY_LIMIT = 10_000
ORDERS_BY = ("minimum", "mean")


def require_tiles(shape: tuple[int, ...], *, tile: int, gap: float, method: str, shift: int = 0) -> None:
    """Refuses pictures that are too small for nine tiles, and a tile size, gap or shift that leaves no tile."""
    _, height, width = require_picture(shape, method)
    if min(height, width) // GRID < SMALLEST_CELL:
        raise ValueError(
            f"{method} cuts nine tiles and needs pictures of at least {GRID * SMALLEST_CELL} px; "
            f"these are {height} x {width}"
        )
    require_positive(tile=tile)
    require_fraction(gap=gap)
    if gap > 0.5:
        raise ValueError(f"gap is {gap}; it must be at most 0.5, or less than half a cell would be shown")
    require_shift(shift)
    room = cell_room(min(height, width), gap)
    if 2 * shift > room:
        raise ValueError(
            f"channel_shift is {shift}; a gap of {gap} leaves {room} px about a tile of pictures of {height} x "
            f"{width}, so it must be at most {room // 2}"
        )


def cell_room(extent: int, gap: float) -> int:
    """Pixels of a cell's side that its tile leaves, along an axis of `extent` pixels."""
    return round(gap * (extent // GRID))


def cut_tiles(images: Tensor, generator: Generator, *, tile: int, gap: float, shift: int = 0) -> Tensor:
    """(B, C, H, W) float -> (B, 9, C, tile, tile), row by row.

    From each cell of a 3x3 grid a patch of (1 - gap) of its side is cut at a random place in the cell, so that edges
    do not continue from tile to tile (Noroozi & Favaro 2016, arXiv:1603.09246, section 3.3: 64 of 85 px), and scaled
    to `tile`. No tile sees a pixel beyond its patch.
    shift: the farthest that the patch's colour channels move in each direction, see `cut_shifted`. The patch keeps as
        far from the border of its cell, so that none of them shows a pixel of another cell.
    """
    batch, _, height, width = images.shape
    draw = uniform(generator, 2, batch, TILES, axis=1)
    cell = torch.arange(TILES, device=images.device)
    sides = []
    for draws, place, extent in ((draw[0], cell // GRID, height), (draw[1], cell % GRID, width)):
        room = cell_room(extent, gap)
        start = place * extent // GRID + shift + (draws * (room - 2 * shift + 1)).floor()  # (B, 9)
        sides += [start, torch.full_like(start, extent // GRID - room)]
    boxes = torch.stack([sides[0], sides[2], sides[1], sides[3]], dim=2)  # (B, 9, 4)
    return cut_shifted(images, boxes, generator, tile=tile, shift=shift)


def normalise_tiles(tiles: Tensor) -> Tensor:
    """(B, 9, C, t, t): each tile and channel to mean 1/2 and deviation 1/4, clamped to [0, 1].

    Low-level statistics tell neighbours apart (Noroozi & Favaro 2016, section 3.3); the encoder's standardisation
    turns these values into the paper's mean 0 and deviation 1.
    """
    flat = tiles.flatten(3)  # (B, 9, C, t * t)
    flat = functional.layer_norm(flat, flat.shape[3:], eps=1e-4)
    return flat.mul_(0.25).add_(0.5).clamp_(0, 1).view(tiles.shape)


def shuffle_tiles(tiles: Tensor, orders: Tensor) -> Tensor:
    """(B, 9, C, t, t) and (B, 9) orders -> the same shape: place k shows tile `orders[b, k]`."""
    return tiles[torch.arange(len(tiles), device=tiles.device)[:, None], orders]


def random_orders(batch: int, generator: Generator) -> Tensor:
    """(B, 9) int64, each row uniform over all 9! orders."""
    return uniform(generator, batch, TILES).argsort(1)


@lru_cache(maxsize=1)
def all_orders() -> Tensor:
    """(9!, 9) uint8: every permutation of nine tiles, in lexicographic order of their Lehmer codes."""
    orders = torch.zeros(1, 0, dtype=torch.uint8)
    for length in range(1, TILES + 1):
        first = torch.arange(length, dtype=torch.uint8).repeat_interleave(len(orders))[:, None]
        rest = orders.repeat(length, 1)
        orders = torch.cat([first, rest + (rest >= first)], dim=1)  # the rest skips the number that stands first
    return orders


def order_set(count: int, seed: int, by: str = "minimum") -> Tensor:
    """(P, 9) int64 different orders that lie far apart, see `far_apart`; the same seed gives the same orders.

    After 10,000 orders, where the smallest distance is only 2 or 3, the rest are drawn at random.
    """
    require_orders(count)
    require_choice("permutations_by", by, ORDERS_BY)
    mixed = torch.randperm(ALL_ORDERS, generator=torch.Generator().manual_seed(seed))
    candidates = all_orders()[mixed]
    if count == ALL_ORDERS:
        return candidates.long()
    chosen = far_apart(candidates, min(count, GREEDY_LIMIT), by)
    left = torch.ones(ALL_ORDERS, dtype=torch.bool)
    left[chosen] = False
    rest = left.nonzero()[: count - len(chosen), 0]
    return candidates[torch.cat([chosen, rest])].long()


def far_apart(candidates: Tensor, count: int, by: str) -> Tensor:
    """Which `count` of different orders (N, K) uint8 of K <= 9 tiles to take: (count,) int64, at most 10,000.

    Greedy: the first candidate, then each time the one with the largest Hamming distance to those chosen.
    by: "mean": the largest mean distance, and of equals the first; algorithm 1 of Noroozi & Favaro 2016
        (arXiv:1603.09246). The mean depends only on how often each tile stands at each place, so two orders may be as
        close as 2. "minimum": the largest distance to the nearest; the mean decides between equals.
    """
    columns = list(candidates.T.contiguous())  # K of (N,), so that a comparison runs along memory
    nearest = torch.full((len(candidates),), TILES, dtype=torch.uint8)
    score = torch.zeros(len(candidates), dtype=torch.int32)  # the sum of distances; kept below 10 * GREEDY_LIMIT
    left = torch.ones(len(candidates), dtype=torch.bool)
    chosen = [0]
    for _ in range(count - 1):
        left[chosen[-1]] = False
        distance = torch.zeros_like(nearest)
        for column in columns:
            distance += (column ^ column[chosen[-1]]).clamp_(max=1)
        torch.minimum(nearest, distance, out=nearest)
        score += distance
        rank = nearest.int().mul_(10 * GREEDY_LIMIT).add_(score) if by == "minimum" else score.clone()
        chosen.append(int(rank.mul_(left).argmax()))
    return torch.tensor(chosen)


def require_orders(count: int) -> None:
    """Refuses a number of permutations that nine tiles cannot give."""
    if not 2 <= count <= ALL_ORDERS:
        raise ValueError(f"permutations is {count}; nine tiles allow 2 to 9! = {ALL_ORDERS:,}")
