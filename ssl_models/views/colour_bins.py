"""Colours as classes: bins of the a*b* plane, as in Zhang et al. 2016 (arXiv:1603.08511, section 2).

The target of a colour is a few shares instead of one share for each of Q bins, so that a cross entropy reads few
logits.
Letters: B pictures, H W height and width of a map, Q bins, K nearest bins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor, nn

from ssl_models.bounds import require_choice, require_positive
from ssl_models.views.lab import rgb_to_lab

SWEEP = 512
"""Steps of a face of the RGB cube; 384 find the same bins of a grid of 10, 256 miss one."""

HULL_SWEEP, DIRECTIONS = 65, 720
"""Steps of a face and directions for the convex hull; 33 and 360 find the same bins of a grid of 10."""

REACH = 128
"""a* and b* of sRGB lie within -108 and 99."""

CELL = 2.0
"""Side of the squares of the a*b* plane whose colours share their candidates for the nearest bins. With this side, no
two bins of a grid of 10 are equally far from a square's middle."""

SPARE = 4
"""Candidates in addition to the K nearest to a square's middle."""


@lru_cache(maxsize=4)
def gamut_bins(grid: int) -> Tensor:
    """(Q, 2) a* and b* of the bins, sorted: each multiple of `grid` in a*, b* that some sRGB colour is rounded to.

    The faces of the RGB cube are swept. This is enough: the colours with one a* and b* form a curve along L*, which
    leaves the cube through a face. A grid of 10 has 262 such bins; 229 of these points are themselves colours of sRGB.
    """
    side = 2 * REACH // grid + 3
    occupied = torch.zeros(side * side, dtype=torch.bool)
    for colours in faces(SWEEP):
        place = (colours / grid).round().long() + side // 2
        occupied[place[0] * side + place[1]] = True
    found = occupied.nonzero()[:, 0]
    return torch.stack([found // side, found % side], dim=1).sub(side // 2).mul(grid).float()


@lru_cache(maxsize=4)
def hull_bins(grid: int) -> Tensor:
    """(Q, 2) a* and b* of the bins, sorted: the corners of the squares of the grid that the hull of sRGB enters.

    The hull is the convex hull of all a*, b* of sRGB. A grid of 10 has 313 such bins, exactly those of the list that
    the paper's authors published. The 51 that `gamut_bins` lacks are the nearest to no colour; the first, (-90, 50), is
    more than 11 from every colour. The soft targets of colours at the edge give shares to some of them.

    A point is such a corner where it is less than `grid` from the hull in a* and in b*. It then lies in the sum of the
    hull and a square of half-side `grid`: in each direction u, `u . point < max (u . colour) + grid |u|_1`, the maximum
    being over all colours.
    """
    angle = torch.arange(DIRECTIONS) * (2 * math.pi / DIRECTIONS)
    directions = torch.stack([angle.cos(), angle.sin()])  # (2, directions)
    farthest = torch.stack([(directions.T @ colours).amax(1) for colours in faces(HULL_SWEEP)]).amax(0)
    axis = torch.arange(-(REACH // grid) - 1, REACH // grid + 2) * float(grid)
    points = torch.cartesian_prod(axis, axis)
    return points[(points @ directions < farthest + grid * directions.abs().sum(0)).all(1)]


def faces(steps: int) -> Iterator[Tensor]:
    """(2, steps^2) a* and b* of the colours on each face of the RGB cube."""
    step = torch.linspace(0, 1, steps)
    first, second = torch.meshgrid(step, step, indexing="ij")
    for channel in range(3):
        for end in (0.0, 1.0):
            planes = [first, second]
            planes.insert(channel, torch.full_like(first, end))
            yield rgb_to_lab(torch.stack(planes)[None])[0, 1:].flatten(1)


EXTENTS = {"gamut": gamut_bins, "hull": hull_bins}
"""Which points of a grid are bins."""


@lru_cache(maxsize=4)
def nearest_table(grid: int, extent: str, candidates: int) -> Tensor:
    """(squares, candidates) int64: the bins nearest to each square's middle, nearest first, row by row from -REACH."""
    axis = torch.arange(-REACH, REACH + CELL, CELL)
    middles = torch.cartesian_prod(axis, axis)
    return torch.cdist(middles, EXTENTS[extent](grid)).topk(candidates, largest=False).indices


class ColourBins(nn.Module):
    """The bins of a grid, with what turns colours into shares of bins and back; buffers only, none of them saved.

    neighbours, deviation: a colour is spread over the K = 5 nearest bins by a Gaussian of 5 (section 2.2). They are
    chosen among K + 4 that are looked up for the square of side 2 in which the colour lies; for the paper's values the
    choice was the exact one for every colour of sRGB tried (a quarter apart).
    extent: "gamut", see `gamut_bins`, or "hull", see `hull_bins`.
    """

    def __init__(self, grid: int = 10, neighbours: int = 5, deviation: float = 5.0, extent: str = "gamut") -> None:
        super().__init__()
        require_positive(grid=grid, neighbours=neighbours, deviation=deviation)
        require_choice("extent", extent, tuple(EXTENTS))
        centres = EXTENTS[extent](grid)
        if neighbours > len(centres):
            raise ValueError(f"neighbours is {neighbours}; a grid of {grid} has only {len(centres)} bins")
        self.neighbours, self.deviation = neighbours, deviation
        self.centres: Tensor
        self.table: Tensor
        self.kernel: Tensor
        near = torch.cdist(centres, centres).div(deviation).square().mul(-0.5).exp()
        self.register_buffer("centres", centres, persistent=False)
        candidates = min(neighbours + SPARE, len(centres))
        self.register_buffer("table", nearest_table(grid, extent, candidates), persistent=False)
        self.register_buffer("kernel", near / near.sum(0), persistent=False)

    def __len__(self) -> int:
        return len(self.centres)

    def encode(self, colours: Tensor) -> tuple[Tensor, Tensor]:
        """a*, b* (B, 2, H, W) -> bins (B, H, W, K) int64, nearest first, and their shares, which sum to 1 over K."""
        colours = colours.float().permute(0, 2, 3, 1)  # (B, H, W, 2)
        side = round(2 * REACH / CELL)
        square = ((colours + REACH) / CELL).round().long().clamp_(0, side)
        candidates = self.table[square[..., 0] * (side + 1) + square[..., 1]]  # (B, H, W, K + SPARE)
        distance = (self.centres[candidates] - colours[..., None, :]).square().sum(4)
        distance, chosen = distance.topk(self.neighbours, largest=False)
        return candidates.gather(3, chosen), (distance * (-0.5 / self.deviation**2)).softmax(3)

    def smooth(self, distribution: Tensor) -> Tensor:
        """(Q,) probabilities -> (Q,): each spread by the Gaussian over the bins; the sum stays 1."""
        return (self.kernel * distribution).sum(1)  # a matrix product would be rounded under autocast

    def annealed_mean(self, logits: Tensor, temperature: float) -> Tensor:
        """(B, Q, H, W) -> a*, b* (B, 2, H, W): the mean under the distribution raised to 1 / temperature (eq. 5).

        Temperature 1 is the mean, which greys; towards 0 it becomes the mode. The paper takes 0.38.
        """
        require_positive(temperature=temperature)
        probability = (logits.float() / temperature).softmax(1)
        return torch.stack([(probability * axis.view(-1, 1, 1)).sum(1) for axis in self.centres.T], dim=1)


def rebalancing_weights(distribution: Tensor, uniform: float) -> Tensor:
    """Smoothed probabilities p (Q,) -> `w ∝ ((1 - λ) p + λ / Q)^-1` with `sum p w = 1` (eq. 4); uniform: λ.

    λ = 1 gives all bins the weight 1. With the paper's 1/2 a colour that never occurs weighs twice as much as one with
    the share 1 / Q.
    """
    weights = 1 / ((1 - uniform) * distribution + uniform / len(distribution))
    return weights / (distribution * weights).sum()


def soft_cross_entropy(logits: Tensor, bins: Tensor, shares: Tensor) -> Tensor:
    """`- sum_q Z_q log softmax(logits)_q` (eq. 2 without its weight): (B, Q, H, W), twice (B, H, W, K) -> (B, H, W).

    Equal logits cost log Q. In float32.
    """
    scores = logits.float().permute(0, 2, 3, 1).log_softmax(3)
    return -(scores.gather(3, bins) * shares).sum(3)
