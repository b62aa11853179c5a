"""The world of points: two numbers of a density that is known in closed form. Its surface can be looked at.

It is an instrument, not a benchmark. `mixture` is eight Gaussians on a circle with nothing between them, `rings` two
concentric rings, and `spiral` two arms that wind about each other.

    density      entropy, nats
    mixture     0.985
    rings       2.148
    spiral      2.034
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch

from ssl_models import partition
from ssl_models.bounds import require_choice
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._world_points.density import Density, Scaled
from ssl_models.datasets._world_points.mixture import circle, spiral
from ssl_models.datasets._world_points.rings import Rings

KIND = "density"
DENSITIES: dict[str, Callable[[], Density]] = {"mixture": circle, "rings": Rings, "spiral": spiral}
EXTENT = ((-4.0, 4.0), (-4.0, 4.0))
"""Less than 1e-6 of each density lies outside."""
POINTS, FINE = 64, 160
"""Of the grid of the surface each way, and of the one that the entropy is summed on."""
FLOOR, DECIMALS = -60.0, 4
"""Of the surface."""


def load(*, seed: int, density: str = "spiral", train: int = 8192, test: int = 2048) -> Dataset:
    """vectors (N, 2) float32, labels (N,) and truth "log_density" (N,) float32; both splits are independent draws.

    density: "mixture", labelled by which of the eight Gaussians a point is of; "rings", by the ring; "spiral", by the
    arm. Each number has mean 0 and deviation 1, by the density's own moments and not by those of the draws.
    factors: radius, the distance from the middle; of a spiral also along, the place on the arm, 0 in the middle to 1.
    known: binary (False), mean and deviation of the training split, extent [[-4, 4], [-4, 4]], surface (64 x 64, log p,
    at least -60), and entropy in nats.
    Raises ValueError for another density, a negative seed, fewer than 2 training samples and fewer than 1 for testing.
    """
    count(seed=seed, density=density, train=train, test=test)
    truth = scaled(density)
    splits = [_split(truth, samples, np.random.default_rng((seed, part))) for part, samples in enumerate((train, test))]
    vectors = splits[0].parts["vectors"].double()
    of_split = {"mean": vectors.mean(0).tolist(), "deviation": vectors.std(0, correction=0).tolist()}
    return Dataset(splits[0], splits[1], truth.classes, known=_known(density) | of_split)


def count(*, seed: int = 0, density: str = "spiral", train: int = 8192, test: int = 2048) -> tuple[int, int]:
    """Number of training and test points that `load` gives for these settings; checks them in the same way."""
    require_choice("world_points density", density, tuple(DENSITIES))
    if seed < 0:
        raise ValueError(f"world_points seed is {seed}; it must not be negative")
    if train < 2:
        raise ValueError(f"world_points train is {train}; it must be at least 2 samples, or they have no deviation")
    if test < 1:
        raise ValueError(f"world_points test is {test}; it must be at least 1 sample")
    return train, test


def describe(*, density: str = "spiral", **settings: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape of a sample, and what is known but for mean and deviation, which stand at 0 and 1.

    Raises ValueError as `count`.
    """
    count(density=density, **settings)
    return {"vectors": (2,)}, _known(density)


@cache
def scaled(density: str) -> Scaled:
    """One of DENSITIES, scaled to deviation 1 of each number."""
    return Scaled(DENSITIES[density]())


def _known(density: str) -> dict[str, Any]:
    """What is known of all draws; mean and deviation are those of the density."""
    surface, entropy = _measured(density)
    return {
        "binary": False,
        "mean": [0.0, 0.0],
        "deviation": [1.0, 1.0],
        "extent": [list(side) for side in EXTENT],
        "surface": [list(row) for row in surface],
        "entropy": entropy,
    }


@cache
def _measured(density: str) -> tuple[tuple[tuple[float, ...], ...], float]:
    """The surface, and the entropy by quadrature."""
    truth = scaled(density)
    middles, _ = partition.grid(EXTENT, POINTS)
    surface = truth.log_density(middles.double().numpy()).reshape(POINTS, POINTS).clip(FLOOR).round(DECIMALS)
    fine, log_cell = partition.grid(EXTENT, FINE)
    log_p = truth.log_density(fine.double().numpy())
    entropy = -float((np.exp(log_p + log_cell) * log_p).sum())
    return tuple(tuple(row) for row in surface.tolist()), round(entropy, 5)


def _split(truth: Density, samples: int, random: np.random.Generator) -> Split:
    """Draws; the log density is that of the points as they are stored."""
    drawn = truth.draw(samples, random)
    vectors = drawn.points.astype(np.float32)
    stored = vectors.astype(np.float64)
    factors = {"radius": np.hypot(stored[:, 0], stored[:, 1])}
    if drawn.along is not None:
        factors["along"] = drawn.along
    return Split(
        {"vectors": torch.from_numpy(vectors)},
        torch.from_numpy(drawn.labels.astype(np.int64)),
        {name: torch.from_numpy(values.astype(np.float32)) for name, values in factors.items()},
        {"log_density": torch.from_numpy(truth.log_density(stored).astype(np.float32))},
    )
