"""The intervals of metrics without labels hold the truth, and no more than they must."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from ssl_models import dimensions
from ssl_models.protocols._label_free import geometry, spectra
from ssl_models.protocols._label_free.jackknife import score
from tests.ssl_models.clouds import kernel, normal


def agreement_and_error(first: np.ndarray, second: np.ndarray, neighbours: int) -> tuple[float, float]:
    return geometry.agreement(geometry.squared_distances(first), geometry.squared_distances(second), neighbours)


def share_that_holds(draw: Callable[[int], np.ndarray], statistic: Callable[[np.ndarray], float]) -> float:
    """Of 200 samples of 120, those whose interval holds the mean of the statistic over many samples of this size."""
    truth = np.mean([statistic(draw(1000 + seed)) for seed in range(400)])
    hits = 0
    for seed in range(200):
        values = draw(seed)
        found = score("l", "m", lambda rows, values=values: statistic(values[rows]), len(values), seed=seed)
        hits += found.low <= truth <= found.high
    return hits / 200


def spread(seed: int) -> np.ndarray:
    return normal(120, 8, seed=seed) * np.arange(1, 9) ** -0.7


def crops(seed: int) -> np.ndarray:
    """(N, 2 D): two views of each of N samples."""
    sample = normal(120, 4, seed=seed)
    return np.concatenate([sample + 0.4 * normal(120, 4, seed=seed + 10**6 * side) for side in (1, 2)], 1)


@pytest.mark.parametrize(
    ("draw", "statistic"),
    [
        (spread, dimensions.rankme),
        (spread, lambda values: geometry.uniformity(kernel(geometry.directions(values)))),
        (crops, lambda values: spectra.lidar(np.stack([values[:, :4], values[:, 4:]]))),
    ],
    ids=["rankme", "uniformity", "lidar"],
)
def test_the_interval_holds_the_truth_in_nineteen_of_twenty_samples(
    draw: Callable[[int], np.ndarray], statistic: Callable[[np.ndarray], float]
) -> None:
    assert 0.9 <= share_that_holds(draw, statistic) <= 0.995


@pytest.mark.parametrize(("size", "noise"), [(4, 0.4), (30, 1.0)])
def test_the_error_of_an_agreement_is_its_deviation_over_many_samples(size: int, noise: float) -> None:
    found = []
    for seed in range(200):
        sample, *views = normal(3, 150, size, seed=seed)
        found.append(agreement_and_error(*(sample + noise * view for view in views), 8))
    values, errors = np.array(found).T
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(values.std(), rel=0.15)
    assert 0.9 <= (np.abs(values - values.mean()) <= 1.96 * errors).mean() <= 0.99


def test_the_error_of_an_agreement_is_the_loop_of_its_definition() -> None:
    """Residuals of all pairs of ordered pairs that have a sample in common, as Aronow, Samii & Assenova have it."""
    first = normal(24, 3, seed=3)
    second = first + 0.2 * normal(24, 3, seed=1)
    near = [np.argsort(np.square(points[:, None] - points).sum(2), axis=1)[:, 1:4] for points in (first, second)]
    listed = [np.array([[float(j in rows[i]) for j in range(24)] for i in range(24)]) for rows in near]
    mean = (listed[0] * listed[1]).sum() / (24 * 3)
    left = listed[0] * listed[1] - mean * (listed[0] + listed[1]) / 2
    pairs = [(i, j) for i in range(24) for j in range(24) if i != j]
    total = sum(left[a] * left[b] for a in pairs for b in pairs if a[0] in b or a[1] in b)
    alone = sum(left[a] * left[b] for a in pairs for b in pairs if a[0] == b[0])
    expected = math.sqrt(max(total, alone)) / (24 * 3) / (1 - 3 / 23)
    assert agreement_and_error(first, second, 3)[1] == pytest.approx(expected)
    assert total > alone


def test_the_error_of_a_sure_agreement_is_nothing() -> None:
    points = geometry.directions(normal(50, 5))
    assert agreement_and_error(points, points, 5) == pytest.approx((1, 0))
    assert agreement_and_error(np.ones((50, 5)), np.ones((50, 5)), 5) == pytest.approx((0, 0), abs=1e-9)


def test_the_interval_of_a_mean_is_that_of_means_of_groups() -> None:
    values = normal(200)
    found = score("l", "m", lambda rows: float(values[rows].mean()), 200, seed=0)
    groups = values[np.random.default_rng(0).permutation(200)].reshape(20, 10).mean(1)
    half = 2.0930240544 * groups.std(ddof=1) / math.sqrt(20)  # t of 19 degrees of freedom
    assert (found.value, found.low, found.high) == pytest.approx(
        (values.mean(), values.mean() - half, values.mean() + half)
    )


def test_an_interval_stays_within_the_range_of_its_statistic() -> None:
    values = np.arange(20) % 2
    found = score("l", "m", lambda rows: float(values[rows].max()) - 0.5 + values[rows].mean() / 2, 20, seed=0)
    held = score("l", "m", lambda rows: float(values[rows].mean()), 20, seed=0, within=(0.49, 0.51))
    assert found.low < found.value < found.high
    assert (held.low, held.high) == (0.49, 0.51)
