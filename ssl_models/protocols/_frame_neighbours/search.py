"""The nearest frames of different videos.

Legend: G frames of the gallery, M queries, B of a block, k neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

TIES = 1e-6
"""Cosines nearer than this are drawn between, so that equal features give a random choice and not the first frame."""
ROOM = 2**23
"""Cosines that are held at once."""


@dataclass(frozen=True)
class Frames:
    """Frames of one split, in the order of the clips and of time.

    clip, time, video: (G,) int64: where each comes from. vectors: (G, D) float32, of length 1 or 0.
    """

    clip: ndarray
    time: ndarray
    video: ndarray
    vectors: Tensor

    def __len__(self) -> int:
        return len(self.clip)

    def only(self, rows: ndarray) -> Frames:
        """Some of them."""
        return Frames(self.clip[rows], self.time[rows], self.video[rows], self.vectors[torch.from_numpy(rows)])


def taken(length: int, frames: int) -> ndarray:
    """(F,) int64: which frames of a clip are compared: the middles of equal parts; all where there are no more."""
    count = min(frames, length)
    return np.floor((np.arange(count) + 0.5) * length / count).astype(np.int64)


def nearest_frames(
    gallery: Frames,
    queries: Frames,
    most: int,
    draws: np.random.Generator,
    alike: tuple[ndarray, ndarray] | None = None,
) -> ndarray:
    """(M, k) int64, nearest first: rows of the gallery, each of another video; -1 where there are no more.

    k: `most`, or the number of videos if they are fewer. alike: labels (G,) and (M,); a query is then compared with
    frames of its own label only.
    """
    video = torch.from_numpy(gallery.video)
    found = np.full((len(queries), min(most, len(np.unique(gallery.video)))), -1)
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
            cosine[video == video[row][:, None]] = -torch.inf
    return found
