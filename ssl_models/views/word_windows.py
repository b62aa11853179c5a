"""Words and the words around them: subsampling of frequent words, windows, and words drawn as noise.

Mikolov et al. 2013 (arXiv:1310.4546, "Distributed Representations"), and the code word2vec.c where the paper leaves
something open. Legend: B rows of L ids, V words, W the largest window, M words of noise. The id 0 stands for no word.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def keep_probability(counts: Tensor, threshold: float) -> Tensor:
    """(V,) counts of words -> (V,) float32: the probability that an occurrence is kept; 0 for no word.

    min(1, (sqrt(f / t) + 1) t / f) for a word of frequency f and a threshold t, as in word2vec.c. The paper has
    sqrt(t / f) (section 2.3, equation 5). A threshold of 0 keeps all.
    """
    frequency = counts.double() / counts.sum().clamp(min=1)
    if threshold > 0:
        ratio = threshold / frequency.clamp(min=1e-300)
        kept = (ratio.sqrt() + ratio).clamp(max=1)
    else:
        kept = torch.ones_like(frequency)
    kept[0] = 0
    return kept.float()


def subsampled(ids: Tensor, probability: Tensor, generator: Generator) -> Tensor:
    """(B, L) ids -> (B, L') ids: words are left out at random, and the others move together to the left.

    What is left out has no place in a window, so windows reach further. L' is the length of the longest row that
    remains, at least 1.
    """
    draws = torch.rand(ids.shape, generator=generator, device=ids.device)
    kept = draws < probability[ids]
    place = kept.cumsum(1) - 1
    longest = max(1, int(place[:, -1].max()) + 1)
    moved = torch.zeros(len(ids), longest + 1, dtype=ids.dtype, device=ids.device)
    moved.scatter_(1, place.where(kept, longest), ids)  # what is left out ends in a column of its own
    return moved[:, :longest]


def window_sizes(ids: Tensor, window: int, generator: Generator) -> Tensor:
    """(B, L): for each centre a size from 1 to W, drawn uniformly, so that near words count more often."""
    return torch.randint(1, window + 1, ids.shape, generator=generator, device=ids.device)


def neighbours(length: int, window: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(L, 2 W) places of the words around each place, those outside the row clamped; and their distances, (2 W,)."""
    offsets = torch.arange(1, window + 1, device=device)
    offsets = torch.cat([-offsets.flip(0), offsets])
    places = torch.arange(length, device=device)[:, None] + offsets
    return places.clamp(0, length - 1), offsets.abs()


def pairs(ids: Tensor, sizes: Tensor, window: int) -> Tensor:
    """(B, L, 2 W) bool: whether the word at a place of `neighbours` is in the centre's window, both being words."""
    length = ids.shape[1]
    around, distance = neighbours(length, window, ids.device)
    offset = torch.cat([-distance[:window], distance[window:]])
    place = torch.arange(length, device=ids.device)[:, None] + offset
    inside = (place >= 0) & (place < length)
    return inside & (distance <= sizes[:, :, None]) & (ids[:, around] != 0) & (ids != 0)[:, :, None]


def noise_distribution(counts: Tensor, power: float) -> Tensor:
    """(V,) counts -> (V,) cumulative distribution of words by counts^power, float64; no word is never drawn.

    The power 3/4 is better than 1 and than 0 (section 2.2).
    """
    weights = counts.double() ** power
    weights[0] = 0
    return (weights / weights.sum()).cumsum(0)


def draw_noise(cumulative: Tensor, shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Ids (*shape) of words, drawn independently from a cumulative distribution."""
    draws = torch.rand(shape, generator=generator, device=cumulative.device, dtype=torch.float64)
    return torch.searchsorted(cumulative, draws * cumulative[-1], right=True).clamp(max=len(cumulative) - 1)
