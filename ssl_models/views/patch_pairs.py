"""Pairs of patches of one picture: neighbours on a grid, near and far patches, and their colours removed.

A patch begins at a whole pixel, so that with `resample(..., inside=True)` no patch contains a pixel of another.
Letters: B samples, T patches, C channels, H W height and width of a picture, P pairs.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_fraction, require_picture, require_positive
from ssl_models.views.drawing import below, normal, uniform
from ssl_models.views.tile_colours import require_shift

GRID = 3
PLACES = GRID * GRID
CENTRE = PLACES // 2
SMALLEST_PATCH = 5
DIRECTIONS = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
"""Class -> (down, right) from the first patch of a pair to the second; Doersch et al. 2015, figure 2."""

GREEN_MAGENTA = (-1.0, 2.0, -1.0)
"""The colour axis along which chromatic aberration is most visible (Doersch et al. 2015, section 3.1)."""


# ---- neighbours on a grid


def grid_pairs(centre_only: bool) -> Tensor:
    """(P, 3) int64: first place, second place and class of the pairs of neighbours, by first place and class.

    The 8 pairs that begin at the centre, or all 40 of the grid, each in both orders.
    """
    rows = []
    for first in [CENTRE] if centre_only else range(PLACES):
        for number, (down, right) in enumerate(DIRECTIONS):
            row, column = first // GRID + down, first % GRID + right
            if 0 <= row < GRID and 0 <= column < GRID:
                rows.append((first, row * GRID + column, number))
    return torch.tensor(rows)


def grid_layout(extent: int, gap: float, jitter: float, shift: int = 0) -> tuple[int, int, int]:
    """Side of a patch, gap and jitter in pixels along an axis of `extent` pixels: the largest patches that fit.

    The jitter, and the `shift` of colour channels that comes on top of it, are together at most half the gap, also
    where rounding would have it otherwise, so that no patches overlap.
    """
    for side in range(extent // GRID, 0, -1):
        between = round(gap * side)
        moved = min(round(jitter * side), between // 2 - shift)
        if moved >= 0 and GRID * side + (GRID - 1) * between + 2 * (moved + shift) <= extent:
            return side, between, moved
    return 0, 0, 0


def require_grid(shape: tuple[int, ...], *, gap: float, jitter: float, method: str, shift: int = 0) -> None:
    """Refuses gaps and jitters that let patches overlap, and pictures too small for nine patches."""
    _, height, width = require_picture(shape, method)
    require_fraction(gap=gap, jitter=jitter)
    if 2 * jitter > gap:
        raise ValueError(
            f"jitter is {jitter}; it must be at most half the gap of {gap}, or neighbouring patches could overlap"
        )
    require_shift(shift)
    side = grid_layout(min(height, width), gap, jitter, shift)[0]
    if side < SMALLEST_PATCH:
        taken = f"gap {gap}, jitter {jitter} and channel_shift {shift}" if shift else f"gap {gap} and jitter {jitter}"
        raise ValueError(
            f"{method} cuts nine patches of at least {SMALLEST_PATCH} px; pictures of {height} x {width} with {taken} "
            f"leave {side} px"
        )


def grid_boxes(
    generator: Generator, batch: int, height: int, width: int, *, gap: float, jitter: float, shift: int = 0
) -> Tensor:
    """(B, 9, 4) top, left, height, width of a 3x3 grid of patches, row by row, as large as the picture allows.

    gap: between patches, as a share of their side. jitter: the farthest that each patch moves from its place on the
    grid, by itself and along each axis, as such a share. shift: pixels by which colour channels are to move: a patch
    keeps as far from the picture's border, and twice as far from its neighbours. The whole grid lies at a random place
    in the picture. Doersch et al. 2015 (arXiv:1505.05192, section 3): 48 and 7 of 96 px.
    """
    place = torch.arange(PLACES, device=generator.device)
    starts, sides = [], []
    for extent, number in ((height, place // GRID), (width, place % GRID)):
        side, between, moved = grid_layout(extent, gap, jitter, shift)
        room = extent - GRID * side - (GRID - 1) * between - 2 * (moved + shift)
        origin = whole(uniform(generator, batch, 1), room) + shift
        strayed = whole(uniform(generator, batch, PLACES), 2 * moved)
        starts.append(origin + number * (side + between) + strayed)  # (B, 9)
        sides.append(torch.full_like(starts[-1], side))
    return torch.stack([*starts, *sides], dim=2)


def whole(draw: Tensor, most: Tensor | int) -> Tensor:
    """Draws from [0, 1) -> whole numbers from 0 to `most`, as floats."""
    return (draw * (most + 1)).floor()


# ---- near and far


def near_far_pixels(extent: int, patch: float, near: float, far: float) -> tuple[int, int, int]:
    """Side of a patch, and the largest near and least far offset in pixels, along an axis of `extent` pixels.

    The side and the far offset are rounded down, so that what fits as shares of a picture fits its pixels.
    """
    side = int(patch * extent)
    return side, round(near * side), int(far * side)


def require_near_far(shape: tuple[int, ...], *, patch: float, near: float, far: float, method: str) -> None:
    """Refuses patches that are too small, near offsets that are not below far ones, and far ones that do not fit."""
    _, height, width = require_picture(shape, method)
    require_fraction(patch=patch, near=near)
    require_positive(far=far)
    for extent in (height, width):
        side, closest, farthest = near_far_pixels(extent, patch, near, far)
        if side < SMALLEST_PATCH:
            raise ValueError(
                f"patch is {patch}; of pictures of {height} x {width} that is {side} px, less than {SMALLEST_PATCH} px"
            )
        if closest < 1 or closest >= farthest:
            raise ValueError(f"near is {near}; it must be at least a pixel and under far, which is {far}")
        if side + 2 * closest + farthest > extent:
            raise ValueError(
                f"far is {far}; two near pairs of patches of {side} px, {farthest} px apart, do not fit {method}'s "
                f"pictures of {height} x {width}: lower far, near ({near}) or patch ({patch})"
            )


def near_far_boxes(
    generator: Generator, batch: int, height: int, width: int, *, patch: float, near: float, far: float
) -> Tensor:
    """(B, 4, 4) top, left, height, width of two pairs of patches: 0 and 1 are near each other, 2 and 3 are too.

    patch: side of a patch, as a share of the picture's. near: largest offset within a pair along each axis, as a share
    of the patch's side (below 1 they overlap). far: along one axis, which is drawn for each sample, each patch of one
    pair lies at least so far from each of the other (from 1 on they do not overlap).
    """
    down = uniform(generator, batch) < 0.5
    swapped = uniform(generator, batch, 1) < 0.5
    starts, sides = [], []
    for extent, apart in ((height, down), (width, ~down)):
        side, closest, farthest = near_far_pixels(extent, patch, near, far)
        start = near_far_starts(uniform(generator, 8, batch, axis=1), extent - side, closest, farthest, apart)
        starts.append(torch.where(swapped, start.roll(2, dims=1), start))  # so that neither pair is always the upper
        sides.append(torch.full_like(start, side))
    return torch.stack([*starts, *sides], dim=2)


def near_far_starts(draw: Tensor, room: int, near: int, far: int, apart: Tensor) -> Tensor:
    """(8, B) draws -> (B, 4) starts from 0 to `room` on one axis, of two pairs; those of a pair are within `near`.

    Where `apart` (B,), the second pair begins at least `far` after the first. Elsewhere each pair is at a random place.
    """
    spread = whole(draw[:2], near)  # (2, B): from a pair's lower patch to its upper
    slack = room - far - spread.sum(0)
    cuts = whole(draw[2:4], slack).sort(dim=0).values  # what is left over is split in three: before, between, beyond
    ordered = torch.stack([cuts[0], cuts[1] + spread[0] + far])
    lower = torch.where(apart, ordered, whole(draw[4:6], room - spread))
    upper_first = draw[6:8] < 0.5
    first, second = torch.where(upper_first, spread, 0), torch.where(upper_first, 0, spread)
    return torch.stack([lower + first, lower + second], dim=1).flatten(0, 1).T  # (B, 4)


def flip_boxes(boxes: Tensor, flipped: Tensor) -> Tensor:
    """(B, K, 4) boxes; those where `flipped` (B, K) get a negative width, which `resample` reads as a flip."""
    top, left, tall, wide = boxes.unbind(2)
    return torch.stack([top, torch.where(flipped, left + wide, left), tall, torch.where(flipped, -wide, wide)], dim=2)


# ---- colour


def drop_colours(patches: Tensor, generator: Generator, probability: float = 1.0) -> Tensor:
    """(T, 3, H, W) in [0, 1] -> the same shape: with this probability a patch keeps one channel, drawn for each.

    The other two become Gaussian noise about 1/2, of 1/100 the deviation of the one that is kept (Doersch et al. 2015,
    section 3.1). Patches that do not have three channels come back as they are.
    """
    if patches.shape[1] != 3:
        return patches
    whole_colour = uniform(generator, len(patches), 1, 1, 1) >= probability
    kept = below(generator, 3, len(patches), 1, 1, 1)
    channel = patches.gather(1, kept.expand(-1, 1, *patches.shape[2:]))  # (T, 1, H, W)
    noise = normal(generator, *patches.shape)
    noise = noise.mul_(0.01 * channel.std((2, 3), keepdim=True, correction=0)).add_(0.5).clamp_(0, 1)
    number = torch.arange(3, device=patches.device).view(1, 3, 1, 1)
    return torch.where(whole_colour | (number == kept), patches, noise)


def project_colours(patches: Tensor) -> Tensor:
    """(T, 3, H, W) in [0, 1] -> the same shape without the green-magenta axis a: x - a (a . x) / (a . a).

    Doersch et al. 2015, section 3.1, with a = (-1, 2, -1). Grey stays as it is; what leaves [0, 1] is clamped, which
    only strong colours do. Patches that do not have three channels come back as they are.
    """
    if patches.shape[1] != 3:
        return patches
    axis = torch.tensor(GREEN_MAGENTA, device=patches.device)
    matrix = torch.eye(3, device=patches.device) - torch.outer(axis, axis) / axis.square().sum()
    return (matrix @ patches.flatten(2)).clamp_(0, 1).view(patches.shape)
