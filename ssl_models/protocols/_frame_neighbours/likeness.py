"""How alike two frames are: in the pose of what they show, and in the colour of what is behind it. numpy only.

Legend: P pairs of frames, K points, N clips, M queries, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy import ndarray
from numpy.random import Generator

BACKGROUND = ("background_hue", "background_saturation", "background_brightness")
"""The factors of the world that give the colour behind the object; hue as cosine and sine."""
OTHERS = 64
"""Random frames that each query is compared with, for what a random choice gives."""


def pose_distance(first: ndarray, second: ndarray) -> ndarray:
    """(P,) mean distance of the points of two frames, in extents; NaN for under two points seen in both.

    first, second: (P, K, 3), x and y divided by the frame's extent, and whether the point is seen. From both the mean
    of the points that are seen in both is taken out, so that neither the place nor the size of the object counts.
    """
    both = ((first[..., 2] > 0) & (second[..., 2] > 0))[..., None]  # (P, K, 1)
    seen = both.sum(1)  # (P, 1)
    apart = np.where(both, first[..., :2] - second[..., :2], 0)
    apart = np.where(both, apart - (apart.sum(1) / np.maximum(seen, 1))[:, None], 0)
    mean = np.hypot(apart[..., 0], apart[..., 1]).sum(1) / np.maximum(seen[:, 0], 1)
    return np.where(seen[:, 0] >= 2, mean, np.nan)


def relative_points(points: ndarray, extent: ndarray) -> ndarray:
    """(P, K, 3) points in pixels and (P,) extents -> the points in extents; none is seen where the extent is 0."""
    known = (extent > 0) & np.isfinite(extent)
    seen = (points[..., 2:] > 0) & known[:, None, None]
    scaled = points[..., :2] / np.where(known, extent, 1)[:, None, None]
    return np.concatenate([np.where(seen, scaled, 0), seen], 2)


def background(factors: Mapping[str, ndarray]) -> ndarray | None:
    """(N, 3) the place of each background's colour in the cone of hue, saturation and brightness; None if unknown.

    A grey has no hue, and black has no colour: distances in the cone are small there whatever the hue.
    """
    if any(name not in factors for name in BACKGROUND):
        return None
    hue, saturation, brightness = (np.asarray(factors[name], np.float64) for name in BACKGROUND)
    return np.concatenate([hue * (saturation * brightness)[:, None], brightness[:, None]], 1)


def colour_distance(first: ndarray, second: ndarray) -> ndarray:
    """(P,) of places (P, 3) in the cone, see `background`."""
    return np.asarray(np.linalg.norm(first - second, axis=1))


def gains(
    distance: Callable[[ndarray, ndarray], ndarray], nearest: ndarray, allowed: Sequence[ndarray], draws: Generator
) -> tuple[ndarray, ndarray]:
    """How much nearer neighbours are than a random choice: two arrays (M, k), for the first 1 ... k of them.

    distance: rows of queries and of the gallery (P,) -> (P,), NaN where it is not known. nearest: (M, k) rows of the
    gallery, -1 for none. allowed: for each query the rows that a random choice is made of. The second array is
    the mean distance of the random choice, the first is that less the mean of the neighbours: the ratio of their sums
    over queries is 0 for random neighbours and 1 for equal ones. Both are 0 for a query that cannot be measured.
    """
    queries = np.arange(len(nearest))
    near = distance(np.repeat(queries, nearest.shape[1]), nearest.reshape(-1)).reshape(nearest.shape)
    near = np.where(nearest >= 0, near, np.nan)
    chosen = np.stack([draws.choice(rows, OTHERS) if len(rows) else np.full(OTHERS, -1) for rows in allowed])
    random = distance(np.repeat(queries, OTHERS), chosen.reshape(-1)).reshape(chosen.shape)
    chance = _mean(np.where(chosen >= 0, random, np.nan))
    closest = np.stack([_mean(near[:, : rank + 1]) for rank in range(nearest.shape[1])], 1)
    known = np.isfinite(chance)[:, None] & np.isfinite(closest)
    gained = np.where(known, chance[:, None] - closest, 0)
    return gained, np.where(known, chance[:, None], 0)


def _mean(values: ndarray) -> ndarray:
    """(M, k) -> (M,): the mean of what is known, NaN for none."""
    known = np.isfinite(values)
    count = known.sum(1)
    return np.where(count > 0, np.where(known, values, 0).sum(1) / np.maximum(count, 1), np.nan)
