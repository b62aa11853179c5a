"""Two times of one track of a clip, and the squares that are cut out there.

Letters: B clips, M tracks a clip, T frames, H W height and width of a frame.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from ssl_models.boxes import there
from ssl_models.views.drawing import uniform
from ssl_models.views.patch_pairs import flip_boxes, whole


def random_track(tracks: Tensor, generator: Generator) -> tuple[Tensor, Tensor, Tensor]:
    """(B, M, T, 4) -> the boxes (B, T, 4) of a track of each clip, the frames it is followed in (B, T) bool, and
    whether the clip has any that is followed in two frames (B,) bool; all of those are equally likely."""
    followed = there(tracks)
    usable = followed.sum(2) >= 2  # (B, M)
    draw = uniform(generator, *usable.shape)
    number = torch.where(usable, draw, -1.0).argmax(1)
    rows = torch.arange(len(tracks), device=tracks.device)
    return tracks[rows, number], followed[rows, number], usable.any(1)


def two_times(followed: Tensor, generator: Generator, apart: float) -> Tensor:
    """(B, T) bool -> (B, 2) int64: an earlier and a later of the frames in which a track is followed.

    apart: how many of these frames lie between them at least, as a share of the most that can; 1: the first and the
    last. How far they are apart is drawn first, evenly, and then where they are. Where a track has less than two
    frames, both may be any.
    """
    last = (followed.sum(1) - 1).clamp(min=1)  # (B,): number of the last frame in which it is followed
    draw = uniform(generator, 2, len(followed), axis=1)
    least = (apart * last).round().clamp(min=1)
    between = least + whole(draw[0], last - least)
    first = whole(draw[1], last - between)
    numbers = torch.stack([first, first + between], 1).long()
    return followed.int().argsort(dim=1, descending=True, stable=True).gather(1, numbers)


def squares_about(
    boxes: Tensor, generator: Generator, height: int, width: int, *, context: float, jitter: float, flip: float
) -> Tensor:
    """(B, 2, 4) left, top, right, bottom -> (B, 2, 4) top, left, height, width of squares, for `resample`.

    A square is `context` times as wide as its box's longer side, at most as the frame, and lies within the frame.
    jitter: each one's middle moves along each axis, and its side changes, by up to this share of the side. flip:
    probability, for each, of a left-right flip.
    """
    draw = uniform(generator, 4, len(boxes), 2, axis=1)
    move = (2 * draw[:3] - 1) * jitter
    left, top, right, bottom = boxes.unbind(2)  # (B, 2) each
    longer = torch.maximum(right - left, bottom - top) * context
    side = (longer * (1 + move[2])).clamp(max=min(height, width))
    starts = [
        torch.minimum(((low + high - side) / 2 + shift * longer).clamp(min=0), extent - side)
        for low, high, shift, extent in ((top, bottom, move[0], height), (left, right, move[1], width))
    ]
    return flip_boxes(torch.stack([*starts, side, side], 2), draw[3] < flip)
