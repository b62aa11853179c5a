"""Colours as classes: bins of the a*b* plane, as in Zhang et al. 2016 (arXiv:1603.08511, section 2).

The target of a colour is a few shares instead of one share for each of Q bins, so that a cross entropy reads few
logits.
Letters: B pictures, H W height and width of a map, Q bins, K nearest bins.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from ssl_models.bounds import require_positive
from ssl_models.views.lab import rgb_to_lab

SWEEP = 512
"""Steps of a face of the RGB cube; 384 find the same bins of a grid of 10, 256 miss one."""

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
    The paper has 313. The list that its authors published is wider than sRGB: it begins with (-90, 50), which is more
    than 11 from every colour of sRGB, so that no picture contains it.
    """
    step = torch.linspace(0, 1, SWEEP)
    first, second = torch.meshgrid(step, step, indexing="ij")
    side = 2 * REACH // grid + 3
    occupied = torch.zeros(side * side, dtype=torch.bool)
    for channel in range(3):
        for end in (0.0, 1.0):
            planes = [first, second]
            planes.insert(channel, torch.full_like(first, end))
            place = (rgb_to_lab(torch.stack(planes)[None])[0, 1:] / grid).round().long() + side // 2
            occupied[(place[0] * side + place[1]).flatten()] = True
    found = occupied.nonzero()[:, 0]
    return torch.stack([found // side, found % side], dim=1).sub(side // 2).mul(grid).float()


@lru_cache(maxsize=4)
def nearest_table(grid: int, candidates: int) -> Tensor:
    """(squares, candidates) int64: the bins nearest to each square's middle, nearest first, row by row from -REACH."""
    axis = torch.arange(-REACH, REACH + CELL, CELL)
    middles = torch.cartesian_prod(axis, axis)
    return torch.cdist(middles, gamut_bins(grid)).topk(candidates, largest=False).indices


class ColourBins(nn.Module):
    """The bins of a grid, with what turns colours into shares of bins and back; buffers only, none of them saved.

    neighbours, deviation: a colour is spread over the K = 5 nearest bins by a Gaussian of 5 (section 2.2). They are
    chosen among K + 4 that are looked up for the square of side 2 in which the colour lies; for the paper's values the
    choice was the exact one for every colour of sRGB tried (a quarter apart).
    """

    def __init__(self, grid: int = 10, neighbours: int = 5, deviation: float = 5.0) -> None:
        super().__init__()
        require_positive(grid=grid, neighbours=neighbours, deviation=deviation)
        centres = gamut_bins(grid)
        if neighbours > len(centres):
            raise ValueError(f"neighbours is {neighbours}; a grid of {grid} has only {len(centres)} bins")
        self.neighbours, self.deviation = neighbours, deviation
        self.centres: Tensor
        self.table: Tensor
        self.kernel: Tensor
        near = torch.cdist(centres, centres).div(deviation).square().mul(-0.5).exp()
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("table", nearest_table(grid, min(neighbours + SPARE, len(centres))), persistent=False)
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
