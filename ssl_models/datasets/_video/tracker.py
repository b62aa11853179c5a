"""Tracks of what moves in clips: a patch is found again in frame after frame, and back.

The patches of Wang & Gupta 2015 (arXiv:1505.00687, section 3) come from a correlation filter. Here it is normalised
cross-correlation with a template that slowly follows what is found (Lewis 1995), and the forward-backward check of
Kalal et al. 2010 (ICPR): what is followed from the last frame back must end where the way began.

It is part of readers: the tracks of a clip are the same, bit for bit, whichever clips are beside it. Templates and
patches are whole numbers of -128 to 127, and templates have at most 24 pixels a side: over one channel every sum of
products is below 2^24, so that it is exact in float32 in any order, and sums over channels are taken in float64. All
else is worked out for each number by itself.

Letters: N clips, M tracks a clip, T frames, C channels, H W height and width, R rows (tracks that are followed
together), G side of a template, D side of a map of scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.boxes import overlap
from ssl_models.datasets._video.starts import start_boxes

WORKING_SIDE = 32
"""Clips are reduced by a whole factor to about this shorter side; tracks of larger ones are as coarse as the factor."""
SHARES = (0.25, 0.375, 0.5)
"""Sides of the boxes that a track may begin with, as shares of the shorter side of the picture."""
SMALLEST = 16
GROWTH = 1.06
"""A box may grow or shrink by this factor from one frame to the next, within LIMITS of its first side."""
LIMITS = (0.5, 2.0)
AT_ONCE = 2**24
"""Numbers of frames that are reduced at once: at full size they take four bytes each."""
GROWTH_GAIN = 0.01
"""By how much the correlation must be better for a box to change its size, which otherwise would wander."""


@dataclass(frozen=True)
class Search:
    """How a patch is looked for.

    reach: farthest that it moves from one frame to the next along an axis, in pixels of the reduced clip. least:
    correlation below which it is lost. update: share of the patch found in the next template.
    """

    reach: int
    least: float
    update: float


@dataclass(frozen=True)
class Patch:
    """R patches in a frame: templates (R, C, G, G), and x, y (R,) of their centres and their scale (R,), 1 at first."""

    template: Tensor
    x: Tensor
    y: Tensor
    scale: Tensor

    def boxes(self) -> Tensor:
        """(R, 4) left, top, right, bottom."""
        half = self.scale * (self.template.shape[-1] / 2)
        return torch.stack([self.x - half, self.y - half, self.x + half, self.y + half], 1)


@torch.no_grad()
def tracks(
    frames: Tensor,
    *,
    most: int = 1,
    search: float = 0.2,
    least: float = 0.6,
    update: float = 0.1,
    agreement: float = 0.5,
    chunk: int = 256,
) -> Tensor:
    """(N, T, C, H, W) uint8 -> (N, most, T, 4) float32: left, top, right, bottom in pixels, all 0 where not followed.

    A track begins in the first frame, where most moves (see starts.py). It ends before the first frame in which its
    patch is not found, and is all 0 from there on. A track of fewer than two frames, or whose way back does not end
    where it began, is dropped as a whole: which of its frames were right is not known. Tracks that begin with more
    movement come first, and a dropped one leaves its place empty.

    most: tracks a clip; their first boxes do not overlap. search: farthest that a patch moves from one frame to the
    next along each axis, as a share of the shorter side. least: correlation below which a patch is lost. update: share
    of the patch that was found in the next template. agreement: least overlap (intersection over union) of the first
    box with the one that the way back ends in. chunk: clips worked on at once; the result does not depend on it.

    Raises ValueError for frames of another shape or type, pictures under 16 pixels, and settings out of range.
    """
    check(frames, most, chunk, search=search, least=least, update=update, agreement=agreement)
    count, length, _, height, width = frames.shape
    found = torch.zeros(count, most, length, 4)
    if length < 2:
        return found
    factor = max(1, round(min(height, width) / WORKING_SIDE))
    shorter = min(height, width) // factor
    sides = tuple(round(share * shorter) for share in SHARES)
    how = Search(max(1, round(search * shorter)), least, update)
    for start in range(0, count, chunk):
        clips = reduced(frames[start : start + chunk], factor)
        starts = start_boxes(clips, sides, most)
        for side in sides:
            clip, number = (starts[..., 2] - starts[..., 0] == side).nonzero(as_tuple=True)
            if len(clip):
                paths = checked_paths(clips - 128, clip, starts[clip, number], side, how, agreement)
                found[start + clip, number] = paths * factor
    return found


def check(frames: Tensor, most: int, chunk: int, **fractions: float) -> None:
    """Refuses what `tracks` cannot work with."""
    if frames.ndim != 5 or frames.dtype != torch.uint8:
        raise ValueError(
            f"frames to track in are (N, T, C, H, W) uint8; these are {tuple(frames.shape)} {frames.dtype}"
        )
    if min(frames.shape[3:]) < SMALLEST:
        raise ValueError(
            f"frames are {frames.shape[3]} x {frames.shape[4]} px; tracks need at least {SMALLEST} px, so make the "
            "frames larger or read none"
        )
    require_positive(most=most, chunk=chunk)
    require_fraction(**fractions)


def reduced(frames: Tensor, factor: int) -> Tensor:
    """(N, T, C, H, W) uint8 -> (N, T, C, H // factor, W // factor): rounded means of squares, of at most 3 channels."""
    flat = frames[:, :, :3].flatten(0, 1)
    found = []
    at_once = max(1, AT_ONCE // flat[0].numel())
    for first in range(0, len(flat), at_once):
        pictures = flat[first : first + at_once].to(torch.float32)
        if factor > 1:
            pictures = functional.avg_pool2d(pictures, factor, divisor_override=1).div_(factor**2).round_()
        found.append(pictures)
    clips = torch.cat(found)
    return clips.view(*frames.shape[:2], *clips.shape[1:])


def checked_paths(clips: Tensor, clip: Tensor, starts: Tensor, side: int, how: Search, agreement: float) -> Tensor:
    """Boxes (R, T, 4) of tracks that begin in `starts` (R, 4) of clips (N, T, C, H, W) number `clip` (R,)."""
    times = torch.arange(clips.shape[1]).expand(len(clip), -1)  # (R, T)
    path, scores = followed(clips, clip, times, starts, side, how)
    known = (scores >= how.least).cumprod(1).bool()
    end = known.sum(1) - 1  # the last frame in which it is followed
    back = (end[:, None] - times).clamp(min=0)
    last = path[torch.arange(len(clip)), end]
    way_back, _ = followed(clips, clip, back, last, side, how)
    ends_in = way_back[torch.arange(len(clip)), end]
    kept = (end > 0) & (overlap(ends_in, starts) >= agreement)
    return torch.where((known & kept[:, None])[..., None], path, 0.0)


def followed(
    clips: Tensor, clip: Tensor, times: Tensor, starts: Tensor, side: int, how: Search
) -> tuple[Tensor, Tensor]:
    """Follows boxes (R, 4) of the frames times[:, 0] through times (R, T) -> (R, T, 4) and correlations (R, T)."""
    patch = patch_at(clips[clip, times[:, 0]], starts, side)
    paths, scores = [starts], [torch.ones(len(clip), dtype=torch.float64)]
    for time in times.unbind(1)[1:]:
        patch, score = step(patch, clips[clip, time], how)
        paths.append(patch.boxes())
        scores.append(score)
    return torch.stack(paths, 1), torch.stack(scores, 1)


def patch_at(frames: Tensor, boxes: Tensor, side: int) -> Patch:
    """What lies in boxes (R, 4) of frames (R, C, H, W), as templates of `side` pixels."""
    left, top, right, bottom = boxes.unbind(1)
    patch = Patch(boxes, (left + right) / 2, (top + bottom) / 2, (right - left) / side)
    return replace(patch, template=read(frames, patch, side))


def step(patch: Patch, frames: Tensor, how: Search) -> tuple[Patch, Tensor]:
    """The patch in other frames (R, C, H, W), and its correlation (R,) float64: first its place, then its size."""
    side = patch.template.shape[-1]
    window = read(frames, patch, side + 2 * how.reach)
    scores = correlations(window, patch.template)  # (R, D, D)
    offset = torch.arange(-how.reach, how.reach + 1)
    x, y = (middle[:, None] + patch.scale[:, None] * offset for middle in (patch.x, patch.y))  # (R, D)
    inside = (
        fits(y, patch.scale, side, frames.shape[2])[:, :, None] & fits(x, patch.scale, side, frames.shape[3])[:, None]
    )
    place = scores.masked_fill(~inside, -1.0).flatten(1).argmax(1)
    row, column = place // len(offset), place % len(offset)
    rows = torch.arange(len(x))
    moved = replace(patch, x=x[rows, column], y=y[rows, row])
    moved, found, best = grown(moved, frames)
    template = (patch.template + how.update * (found - patch.template)).round()
    return replace(moved, template=template), best


def grown(patch: Patch, frames: Tensor) -> tuple[Patch, Tensor, Tensor]:
    """The patch at the size, of three about its middle, at which it correlates best; what lies there (R, C, G, G), and
    the correlation (R,)."""
    side = patch.template.shape[-1]
    factors = torch.tensor([1.0, GROWTH, 1 / GROWTH])[:, None]
    scale = (factors * patch.scale).flatten()  # (3 R,): all as they are, then all larger, then all smaller
    every = Patch(patch.template.repeat(3, 1, 1, 1), patch.x.repeat(3), patch.y.repeat(3), scale)
    found = read(frames.repeat(3, 1, 1, 1), every, side)
    score = correlations(found, every.template).view(3, -1)
    allowed = (scale >= LIMITS[0]) & (scale <= LIMITS[1])
    allowed &= fits(every.x, scale, side, frames.shape[3]) & fits(every.y, scale, side, frames.shape[2])
    other = score[1:].sub(GROWTH_GAIN).masked_fill(~allowed.view(3, -1)[1:], -2.0)
    choice = torch.cat([score[:1], other]).argmax(0)  # (R,)
    rows = torch.arange(len(choice))
    return (
        replace(patch, scale=scale.view(3, -1)[choice, rows]),
        found.view(3, -1, *found.shape[1:])[choice, rows],
        score[choice, rows],
    )


def fits(middle: Tensor, scale: Tensor, side: int, extent: int) -> Tensor:
    """Whether boxes about `middle`, (R,) or (R, D), lie within an axis of `extent` pixels."""
    half = scale * (side / 2)
    half = half[:, None] if middle.ndim == 2 else half
    return (middle - half >= 0) & (middle + half <= extent)


def read(frames: Tensor, patch: Patch, count: int) -> Tensor:
    """(R, C, H, W) -> (R, C, count, count) whole numbers: bilinear samples about each middle, `scale` pixels apart.

    Beyond the picture its edge is repeated. With a scale of 1 and a box on whole pixels they are the pixels themselves.
    """
    offset = torch.arange(count) - (count - 1) / 2
    down, across = (
        (middle[:, None] + patch.scale[:, None] * offset) * (2 / extent) - 1  # (R, count)
        for middle, extent in ((patch.y, frames.shape[2]), (patch.x, frames.shape[3]))
    )
    shape = (len(frames), count, count)
    grid = torch.stack([across[:, None, :].expand(shape), down[:, :, None].expand(shape)], 3)
    return functional.grid_sample(frames, grid, padding_mode="border", align_corners=False).round_()


def correlations(windows: Tensor, templates: Tensor) -> Tensor:
    """(R, C, S, S) and (R, C, G, G) -> (R, D, D) float64, D = S - G + 1: normalised cross-correlation in [-1, 1].

    Over all n = C G^2 numbers t of a template and p of a patch: cov(t, p) / sqrt(var(t) var(p)), with
    n^2 cov = n sum(t p) - sum(t) sum(p). 0 where one of them is all the same.
    """
    (count, channels, size, _), side = windows.shape, templates.shape[-1]
    numbers = channels * side**2
    # One kernel for each map: 256 templates of 3 x 16 x 16 in windows of 28 px took 1 ms of one core (AMD EPYC), and
    # with one kernel for three maps 16 ms.
    kernels = templates.reshape(-1, 1, side, side)
    products = functional.conv2d(windows.reshape(1, -1, size, size), kernels, groups=len(kernels))
    products = products.view(count, channels, *products.shape[2:]).double().sum(1)
    sums, squares = (box_sums(values, side) for values in (windows.sum(1), windows.square().sum(1)))
    own, own_squares = (v.double().sum((1, 2, 3))[:, None, None] for v in (templates, templates.square()))
    covariance = numbers * products - own * sums
    variances = (numbers * own_squares - own.square()) * (numbers * squares - sums.square())
    return torch.where(variances > 0, covariance / variances.clamp(min=1).sqrt(), 0.0)


def box_sums(values: Tensor, side: int) -> Tensor:
    """(R, S, S) -> (R, D, D) float64: sums of squares of `side`, as differences of running sums."""
    sums = values.double()
    for axis in (1, 2):
        running = sums.cumsum(axis)
        before = torch.cat([torch.zeros_like(running.narrow(axis, 0, 1)), running], axis)
        kept = before.shape[axis] - side
        sums = before.narrow(axis, side, kept) - before.narrow(axis, 0, kept)
    return sums
