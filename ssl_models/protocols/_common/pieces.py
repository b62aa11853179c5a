"""The nearest pieces of different sources: frames of different videos, patches of different pictures.

Legend: G pieces of the gallery, M queries, B of a block, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.score import Score

RANKS = (1, 5)
"""Scores are of the nearest, and of so many nearest."""
TIES = 1e-6
"""Cosines nearer than this are drawn between, so that equal features give a random choice and not the first piece."""
ROOM = 2**23
"""Cosines that are held at once."""


@dataclass(frozen=True)
class Pieces:
    """Pieces of the samples of one split, in the order of the samples and of places in them.

    sample, place, source: (G,) int64: where each comes from. vectors: (G, D) float32, of length 1 or 0.
    """

    sample: ndarray
    place: ndarray
    source: ndarray
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.sample)

    def only(self, rows: ndarray) -> Pieces:
        """Some of them."""
        return Pieces(self.sample[rows], self.place[rows], self.source[rows], self.vectors[torch.from_numpy(rows)])


def nearest_apart(
    gallery: Pieces,
    queries: Pieces,
    most: int,
    draws: np.random.Generator,
    alike: tuple[ndarray, ndarray] | None = None,
) -> ndarray:
    """(M, k) int64, nearest first: rows of the gallery, each of another source; -1 where there are no more.

    k: `most`, or the number of sources if they are fewer. alike: labels (G,) and (M,); a query is then compared with
    pieces of its own label only.
    """
    source = torch.from_numpy(gallery.source)
    found = np.full((len(queries), min(most, len(np.unique(gallery.source)))), -1)
    step = max(1, ROOM // len(gallery))
    generator = torch.Generator().manual_seed(int(draws.integers(2**62)))
    for begin in range(0, len(queries), step):
        block = slice(begin, begin + step)
        cosine = (queries.vectors[block] @ gallery.vectors.T).double()  # (B, G); float32 has few numbers within TIES
        cosine += TIES * torch.rand(cosine.shape, generator=generator, dtype=torch.float64)
        if alike is not None:
            cosine[torch.from_numpy(alike[1][block, None] != alike[0])] = -torch.inf
        for place in range(found.shape[1]):
            best, row = cosine.max(1)
            found[block, place] = torch.where(best > -torch.inf, row, -1)
            cosine[source == source[row][:, None]] = -torch.inf
    return found


def counted(right: ndarray) -> tuple[ndarray, ndarray]:
    """(M, k) whether each neighbour is right, nearest first -> `gained` and `whole` of `shares`: at each rank."""
    return right.cumsum(1) / np.arange(1, right.shape[1] + 1), np.ones(right.shape)


def shares(metric: str, gained: ndarray, whole: ndarray, sources: ndarray, seed: int) -> list[Score]:
    """At each of RANKS, the sum of `gained` over all queries as a share of the sum of `whole`, both (M, k).

    None where nothing could be measured. sources: (M,) from 0 on, of which the interval's samples are drawn.
    """
    found = []
    for rank in sorted({min(rank, gained.shape[1]) for rank in RANKS}):
        parts, wholes = (np.bincount(sources, values[:, rank - 1]) for values in (gained, whole))

        def share(units: ndarray, parts: ndarray = parts, wholes: ndarray = wholes) -> float:
            total = wholes[units].sum()
            return float(parts[units].sum() / total) if total > 0 else float("nan")

        value = share(np.arange(len(parts)))
        if np.isfinite(value):
            name = metric if rank == 1 else f"{metric}_at_{rank}"
            found.append(Score("", name, value, *bootstrap(share, len(parts), seed=seed)))
    return found
