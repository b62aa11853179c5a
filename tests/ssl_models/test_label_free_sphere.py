"""Uniformity, alignment, neighbours and clusters: values worked by hand, the equations as loops, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ssl_models.protocols._label_free import geometry, stability
from tests.ssl_models.clouds import kernel, normal, rotation


def test_uniformity_and_alignment_are_the_loops_of_the_paper() -> None:
    points, others = geometry.directions(normal(30, 5) + 1), geometry.directions(normal(30, 5, seed=1) + 1)
    pairs = [math.exp(-2 * ((points[i] - points[j]) ** 2).sum()) for i in range(30) for j in range(i)]
    assert geometry.uniformity(kernel(points)) == pytest.approx(math.log(sum(pairs) / len(pairs)))
    expected = [sum((points[i, d] - others[i, d]) ** 2 for d in range(5)) for i in range(30)]
    np.testing.assert_allclose(geometry.alignment(points, others), expected)


def test_uniformity_by_hand() -> None:
    assert geometry.uniformity(kernel(np.ones((9, 3)))) == 0
    assert geometry.uniformity(kernel(np.array([[1.0, 0], [-1.0, 0]]))) == pytest.approx(-8)  # the least there is
    assert geometry.uniformity(kernel(np.eye(6))) == pytest.approx(-4)
    assert geometry.uniformity(kernel(geometry.directions(normal(900, 300)))) == pytest.approx(-4, abs=0.05)


def test_directions_have_length_one_and_zero_stays() -> None:
    found = geometry.directions(np.array([[3.0, 4.0], [0, 0]], np.float32))
    np.testing.assert_allclose(found, [[0.6, 0.8], [0, 0]])
    assert found.dtype == np.float64


def agreement(first: np.ndarray, second: np.ndarray, neighbours: int) -> float:
    return geometry.agreement(geometry.squared_distances(first), geometry.squared_distances(second), neighbours)[0]


def test_agreement_by_hand() -> None:
    """Four samples on a line, k = 1: the nearest of 0, 1, 3, 7 are 1, 0, 1, 3; in the other view of 0, 1, 3, 2.5 ..."""
    first, second = np.array([[0.0], [1], [3], [7]]), np.array([[0.0], [1], [3], [2.5]])
    # first: 0-1, 1-0, 2-1, 3-2. second: 0-1, 1-0, 2-3, 3-2. Three of four; chance is a third.
    assert agreement(first, second, 1) == pytest.approx((3 / 4 - 1 / 3) / (2 / 3))


def test_agreement_is_the_loop_of_the_definition() -> None:
    first = normal(70, 4)
    second = first + 0.3 * normal(70, 4, seed=1)
    shared = 0
    for row in range(70):
        near = []
        for points in (first, second):
            order = sorted((j for j in range(70) if j != row), key=lambda j: ((points[row] - points[j]) ** 2).sum())
            near.append(set(order[:6]))
        shared += len(near[0] & near[1]) / 6
    chance = 6 / 69
    assert agreement(first, second, 6) == pytest.approx((shared / 70 - chance) / (1 - chance))


def test_equal_views_agree_and_random_ones_do_not() -> None:
    points = geometry.directions(normal(600, 20))
    assert agreement(points, points, 10) == pytest.approx(1)
    assert agreement(points, geometry.directions(normal(600, 20, seed=1)), 10) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_a_constant_agrees_by_chance_although_all_are_equally_near(value: float) -> None:
    points = geometry.directions(np.full((50, 7), value))
    assert agreement(points, points, 5) == pytest.approx(0, abs=1e-12)


def test_ties_are_what_drawing_among_them_gives_on_average() -> None:
    first = geometry.directions(np.random.default_rng(0).integers(0, 2, size=(40, 4)) + 0.0)
    second = geometry.directions(np.random.default_rng(1).integers(0, 2, size=(40, 4)) + first.round())
    draws, found = np.random.default_rng(2), []
    for _ in range(400):
        near = []
        for points in (first, second):
            squares = geometry.squared_distances(points).round(9) + 1e-10 * draws.random((40, 40))
            np.fill_diagonal(squares, np.inf)
            near.append(np.argsort(squares, axis=1)[:, :5])
        found.append(np.mean([len(set(a) & set(b)) / 5 for a, b in zip(*near, strict=True)]))
    chance = 5 / 39
    assert agreement(first, second, 5) == pytest.approx((np.mean(found) - chance) / (1 - chance), abs=0.01)


def test_the_sphere_does_not_depend_on_axes() -> None:
    first, second = (geometry.directions(normal(60, 8, seed=seed) + 1) for seed in (0, 1))
    turned = rotation(8)
    assert geometry.uniformity(kernel(first @ turned)) == pytest.approx(geometry.uniformity(kernel(first)))
    assert agreement(first @ turned, second @ turned, 5) == pytest.approx(agreement(first, second, 5))


# ---- clusters


def test_the_rand_index_by_hand() -> None:
    labels = np.array([0, 0, 1, 1, 2, 2])
    assert stability.adjusted_rand(labels, 2 - labels) == 1  # names do not count
    # 15 pairs, 3 and 2 of one cluster; both: 1. Expected 3 * 6 / 15; the most (3 + 6) / 2.
    other = np.array([0, 0, 0, 1, 1, 1])
    assert stability.adjusted_rand(labels, other) == pytest.approx((2 - 18 / 15) / (4.5 - 18 / 15))
    assert stability.adjusted_rand(np.zeros(6, int), np.zeros(6, int)) == 0
    assert stability.adjusted_rand(labels, np.zeros(6, int)) == 0


def stable(points: np.ndarray, clusters: int = 5, seed: int = 0) -> tuple[float, float, float]:
    found = stability.cluster_stability("pooled", geometry.directions(points), clusters=clusters, draws=6, seed=seed)
    return found.value, found.low, found.high


def test_clear_groups_are_stable_and_a_cloud_is_not() -> None:
    groups = 20 * np.eye(5)[np.arange(200) % 5]
    assert stable(groups + normal(200, 5)) == (1, 1, 1)
    value, low, high = stable(normal(200, 40))
    assert low < value < high < 0.4
    assert stable(np.ones((40, 3))) == (0, 0, 0)


def test_fewer_distinct_samples_than_clusters_are_no_error() -> None:
    assert stable(np.eye(3)[np.arange(60) % 3], clusters=7)[0] == 1


def test_clusters_are_drawn_with_the_seed() -> None:
    points = normal(100, 6)
    assert stable(points) == stable(points)
    assert stable(points) != stable(points, seed=1)
