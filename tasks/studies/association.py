"""How alike two scores order encoders: rank correlation, with an interval and a test over families of encoders.

Encoders are no independent draws: a refit shares what its source has learnt. So families (a pretraining with all that
learnt from it) are the units. The bootstrap draws whole families with replacement (Davison & Hinkley 1997, section
3.8). The test exchanges whole families with others of the same size (whole-block exchangeability, Winkler et al. 2015,
doi:10.1016/j.neuroimage.2015.05.092). A family of a size of its own is cut into blocks of sizes that others have: else
it would stay put, and part of the correlation with it. In a simulation of 50 encoders in 27 families, of which
one has five members, the 95 % interval held the truth in 91 to 96 of 100, and the test at 0.05 was wrong in 6 to 8.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy import ndarray

DRAWS = 9_999
"""Resamples of the bootstrap. Permutations are drawn where there are more than these, else each is counted once."""
ENDS = (0.025, 0.975)
ROUNDING = 1e-9
"""Correlations closer than this are equal."""


class Association(NamedTuple):
    """Spearman's rho and Kendall's tau-b of two scores over encoders; no numbers where one score is constant.

    low, high: the 95 % percentile interval of rho, families drawn with replacement; no numbers for a single family.
    p: two-sided, twice the smaller tail of rho's permutation distribution. chance: the middle 95 % of it.
    """

    rho: float
    low: float
    high: float
    tau: float
    p: float
    chance: tuple[float, float]
    encoders: int
    families: int


def associate(one: Sequence[float], other: Sequence[float], families: Sequence[str], seed: int = 0) -> Association:
    """The association of two scores of the same N encoders. families: (N,) the family of each; seed: of all draws.

    Raises ValueError for lists of different lengths, and for values that are no finite numbers.
    """
    x, y = np.asarray(one, float), np.asarray(other, float)
    if not len(x) == len(y) == len(families):
        raise ValueError(f"{len(x)} and {len(y)} values, and {len(families)} families: each encoder has one of each")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("all values must be finite")
    blocks = _blocks(families)
    single = np.ones((1, len(x)))
    rho = float(_rho(x, y, single)[0])
    if not math.isfinite(rho):
        nothing = math.nan
        return Association(rho, nothing, nothing, nothing, nothing, (nothing, nothing), len(x), len(blocks))
    from scipy.stats import kendalltau

    drawn = np.random.default_rng(seed)
    low, high = bootstrap(x, y, blocks, drawn)
    p, chance = permutation_test(x, y, exchangeable(blocks), drawn)
    return Association(rho, low, high, float(kendalltau(x, y).statistic), p, chance, len(x), len(blocks))


def bootstrap(x: ndarray, y: ndarray, blocks: Sequence[ndarray], drawn: np.random.Generator) -> tuple[float, float]:
    """The ends of the percentile interval of rho. Draws in which a score is constant do not count."""
    if len(blocks) < 2:
        return math.nan, math.nan
    counts = drawn.multinomial(len(blocks), [1 / len(blocks)] * len(blocks), DRAWS)
    weights = np.empty((DRAWS, len(x)))
    for place, block in enumerate(blocks):
        weights[:, block] = counts[:, [place]]
    low, high = np.nanquantile(_rho(x, y, weights), ENDS)
    return float(low), float(high)


def permutation_test(
    x: ndarray, y: ndarray, blocks: Sequence[ndarray], drawn: np.random.Generator
) -> tuple[float, tuple[float, float]]:
    """p, and the middle 95 % of rho where blocks of equal size are exchanged.

    Two-sided as twice the smaller tail, which also holds where blocks that stay put shift the distribution.
    """
    orders = permutations(blocks, drawn)
    ranks = [_weighted_ranks(side, np.ones((1, len(x))))[0] for side in (x, y)]
    a, b = ((side - side.mean()) / np.linalg.norm(side - side.mean()) for side in ranks)
    found = b[orders] @ a
    own = float(a @ b)
    exact = _count(blocks) <= DRAWS
    tails = [int((found >= own - ROUNDING).sum()), int((found <= own + ROUNDING).sum())]
    smaller = min(tails) / len(found) if exact else (min(tails) + 1) / (len(found) + 1)
    low, high = np.quantile(found, ENDS)
    return min(1.0, 2 * smaller), (float(low), float(high))


def permutations(blocks: Sequence[ndarray], drawn: np.random.Generator) -> ndarray:
    """(R, N): every order of N encoders in which blocks of equal size change places, or DRAWS of them at random."""
    groups = [np.stack(group) for group in _by_size(blocks)]  # each (blocks, size)
    if _count(blocks) <= DRAWS:
        every = itertools.product(*(itertools.permutations(range(len(group))) for group in groups))
        chosen = [np.array(orders) for orders in zip(*every, strict=True)]
    else:
        chosen = [drawn.permuted(np.tile(np.arange(len(group)), (DRAWS, 1)), axis=1) for group in groups]
    found = np.empty((len(chosen[0]), sum(map(len, blocks))), int)
    for group, order in zip(groups, chosen, strict=True):
        found[:, group.ravel()] = group[order].reshape(len(order), -1)
    return found


def exchangeable(blocks: Sequence[ndarray]) -> list[ndarray]:
    """The blocks, those of a size of their own cut into the largest sizes that several have, or else into singles."""
    sizes = [len(block) for block in blocks]
    common = sorted({size for size in sizes if sizes.count(size) > 1}, reverse=True) or [1]
    found = []
    for block in blocks:
        rest = block
        while len(rest) and len(rest) not in common:
            size = next((size for size in common if size < len(rest)), len(rest))
            found.append(rest[:size])
            rest = rest[size:]
        found += [rest] if len(rest) else []
    return found


def _blocks(families: Sequence[str]) -> list[ndarray]:
    """The places of each family's members, in their order."""
    names = np.asarray(families)
    return [np.flatnonzero(names == name) for name in dict.fromkeys(families)]


def _by_size(blocks: Sequence[ndarray]) -> list[list[ndarray]]:
    sizes = sorted({len(block) for block in blocks})
    return [[block for block in blocks if len(block) == size] for size in sizes]


def _count(blocks: Sequence[ndarray]) -> int:
    """In how many ways blocks of equal size can change places."""
    return math.prod(math.factorial(len(group)) for group in _by_size(blocks))


def _rho(x: ndarray, y: ndarray, weights: ndarray) -> ndarray:
    """(R,) Spearman's rho of samples in which encoder i occurs weights[r, i] times; NaN where a side is constant."""
    total = weights.sum(1, keepdims=True)
    sides = [_weighted_ranks(side, weights) for side in (x, y)]
    a, b = (side - (weights * side).sum(1, keepdims=True) / total for side in sides)
    spread = np.sqrt((weights * a * a).sum(1) * (weights * b * b).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(spread > ROUNDING, (weights * a * b).sum(1) / spread, np.nan)


def _weighted_ranks(values: ndarray, weights: ndarray) -> ndarray:
    """(R, N) mean ranks in samples in which value i occurs weights[r, i] times.

    rank_i = sum_j w_j [v_j < v_i] + (sum_j w_j [v_j = v_i] + 1) / 2
    """
    below = (values[:, None] < values[None]) + 0.5 * (values[:, None] == values[None])
    return weights @ below + 0.5
