"""Features that are drawn, and turned: what tests of metrics without labels share."""

from __future__ import annotations

import numpy as np

from ssl_models.protocols._label_free import geometry


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """Independent normal numbers."""
    return np.random.default_rng(seed).normal(size=shape)


def rotation(size: int) -> np.ndarray:
    """(D, D), orthogonal."""
    return np.linalg.qr(normal(size, size, seed=9))[0]


def kernel(points: np.ndarray) -> np.ndarray:
    """What uniformity is computed from."""
    return np.exp(-2 * geometry.squared_distances(points))
