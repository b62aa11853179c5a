"""Maps: neighbours against brute force, layouts at their limits, groups and oddities by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_models.atlas import groups, layout, looks, neighbours, oddities


def features(samples: int = 60, size: int = 8, seed: int = 0) -> np.ndarray:
    """Three directions and noise."""
    generator = np.random.default_rng(seed)
    centres = 4 * np.eye(3, size)[np.arange(samples) % 3]
    return (centres + 0.3 * generator.normal(size=(samples, size))).astype(np.float16)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = (x.astype(np.float64) / np.linalg.norm(x.astype(np.float64), axis=1)[:, None] for x in (one, other))
    return one @ other.T


def test_neighbours_are_those_of_brute_force():
    points = features()
    distance = 1 - cosines(points, points)
    np.fill_diagonal(distance, np.inf)
    rows, found = neighbours.nearest(points, 5)
    assert rows.dtype == np.int32
    assert found.dtype == np.float32
    np.testing.assert_array_equal(rows, np.argsort(distance, axis=1)[:, :5])
    np.testing.assert_allclose(found, np.sort(distance, axis=1)[:, :5], atol=2e-6)


def test_neighbours_of_queries_may_be_at_their_own_place():
    points = features()
    rows, found = neighbours.nearest(points, 2, queries=points[7:9])
    np.testing.assert_array_equal(rows[:, 0], [7, 8])
    np.testing.assert_allclose(found[:, 0], 0, atol=1e-6)


def test_a_sample_is_never_its_own_neighbour_among_twins():
    points = np.repeat(np.eye(2, 4, dtype=np.float32), 6, axis=0)
    rows, found = neighbours.nearest(points, 3)
    assert not (rows == np.arange(12)[:, None]).any()
    np.testing.assert_array_equal(rows // 6, np.repeat([[0], [1]], 6, axis=0).repeat(3, 1))
    assert not found.any()


def test_distances_of_known_directions():
    points = np.array([[2, 0], [0, 3], [-1, 0], [0, 0]], np.float32)
    rows, found = neighbours.nearest(points, 9)
    assert rows.shape == (4, 3)
    by_row = {int(row): float(distance) for row, distance in zip(rows[0], found[0], strict=True)}
    assert by_row == {1: 1.0, 2: 2.0, 3: 1.0}


def test_one_sample_has_no_neighbours():
    rows, found = neighbours.nearest(np.ones((1, 3), np.float32), 4)
    assert rows.shape == found.shape == (1, 0)


@pytest.mark.parametrize(
    ("points", "k", "message"),
    [
        (np.ones(3), 1, r"shape \(3,\)"),
        (np.ones((3, 2)), 0, "k = 0"),
        (np.array([[1, np.nan], [0, 1]]), 1, "not finite"),
    ],
)
def test_what_cannot_be_searched_is_refused(points, k, message):
    with pytest.raises(ValueError, match=message):
        neighbours.nearest(points, k)


@pytest.mark.parametrize("samples", [1, 2, 5, 19])
def test_few_samples_stand_at_their_principal_components(samples):
    points = features(samples)
    found = layout.lay_out(points, seed=0)
    assert found.points.shape == (samples, 2)
    assert found.points.dtype == np.float32
    directions = points / np.linalg.norm(points.astype(np.float32), axis=1, keepdims=True)
    left, lengths, _ = np.linalg.svd((directions - directions.mean(0)).astype(np.float64), full_matrices=False)
    expected = np.zeros((samples, 2))
    expected[:, : min(2, len(lengths))] = (left * lengths)[:, :2]
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-5)


@pytest.mark.parametrize("samples", [1, 5, 40])
def test_features_that_are_all_alike_stand_at_one_place(samples):
    found = layout.lay_out(np.full((samples, 4), 3.0, np.float16), seed=0)
    assert not found.points.any()
    assert "alike" in found.method


@pytest.fixture(params=[False, True], ids=["scikit-learn", "openTSNE"])
def method(request, monkeypatch):
    """Both ways to a map; the second is for more samples than a test can wait for."""
    monkeypatch.setattr(layout, "EXACT", 30 if request.param else 10_000)
    return "t-SNE (openTSNE)" if request.param else "t-SNE (scikit-learn)"


def test_maps_of_one_feature_are_finite(method):
    found = layout.lay_out(features(40, 1) - 2, seed=3)  # two directions
    assert found.method == method
    assert np.isfinite(found.points).all()


def test_a_map_keeps_groups_apart_whatever_the_lengths_and_repeats(method):
    samples = 150
    lengths = np.random.default_rng(1).uniform(0.5, 5, (samples, 1)).astype(np.float32)
    stored = features(samples).astype(np.float32) * lengths
    found, again = (layout.lay_out(stored, seed=0) for _ in range(2))
    assert found.method == method
    assert found.points.tobytes() == again.points.tobytes()
    points = found.points.astype(np.float64)
    distance = np.square(points[:, None] - points[None]).sum(-1)
    np.fill_diagonal(distance, np.inf)
    assert (distance.argmin(1) % 3 == np.arange(samples) % 3).mean() > 0.98


def test_a_layout_needs_a_table():
    with pytest.raises(ValueError, match="a sample at least"):
        layout.coordinates(np.empty((0, 3), np.float32), seed=0)
    with pytest.raises(ValueError, match="not finite"):
        layout.coordinates(np.full((3, 2), np.inf), seed=0)


def test_groups_are_those_that_were_planted():
    points = features(90)
    points[:30:3] = np.eye(3, 8)[1] * 4  # of the first group, ten move to the second
    found = groups.clusters(points, 3, seed=0, threads=1)
    sizes = np.bincount(found.assignments)
    assert sizes.tolist() == [40, 30, 20]  # the largest comes first
    assert set(found.assignments[1::3]) == {0}
    centres = [points[found.assignments == k].astype(np.float64) for k in range(3)]
    for k, members in enumerate(centres):
        unit = members / np.linalg.norm(members, axis=1, keepdims=True)
        own = cosines(members, unit.mean(0, keepdims=True))[:, 0]
        np.testing.assert_allclose(found.distances[found.assignments == k], 1 - own, atol=1e-5)
        assert found.tightness[k] == pytest.approx(own.mean(), abs=1e-5)


@pytest.mark.parametrize("points", [np.ones((1, 3)), np.ones((7, 3)), np.zeros((4, 2))])
def test_samples_that_are_all_alike_are_one_group(points):
    found = groups.clusters(points.astype(np.float16), 5, seed=0)
    assert not found.assignments.any()
    assert not found.distances.any()
    assert found.tightness.tolist() == [1.0]


def test_there_are_no_more_groups_than_samples_that_differ():
    points = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    found = groups.clusters(points, 24, seed=0)
    assert len(found.tightness) == 3
    np.testing.assert_allclose(found.tightness, 1)
    with pytest.raises(ValueError, match="count = 1"):
        groups.clusters(points, 1, seed=0)


def test_duplicates_are_joined_through_others():
    # 1-3 and 3-4 are close, 5 is close to none; 0 and 2 are close by one side only.
    rows = np.array([[2, 1], [3, 0], [5, 3], [4, 1], [3, 5], [0, 1]], np.int32)
    distances = np.array([[0.01, 0.5], [0.02, 0.5], [0.4, 0.5], [0.02, 0.02], [0.02, 0.9], [0.3, 0.4]], np.float32)
    assert oddities.near_duplicates(rows, distances, 0.05).tolist() == [0, 1, 0, 1, 1, -1]
    assert oddities.near_duplicates(rows, distances, 0.015).tolist() == [0, -1, 0, -1, -1, -1]
    alike = np.ones_like(rows, bool)
    alike[0] = False
    assert oddities.near_duplicates(rows, distances, 0.05, alike).tolist() == [-1, 0, -1, 0, 0, -1]


def test_no_neighbours_means_no_oddities():
    rows, distances = np.empty((1, 0), np.int32), np.empty((1, 0), np.float32)
    assert oddities.near_duplicates(rows, distances, 0.1).tolist() == [-1]
    assert oddities.outliers(distances).tolist() == [0.0]


def test_outliers_by_hand():
    distances = np.array([[0.1, 0.3], [0.2, 0.4], [0.4, 0.4], [0.1, 0.1], [1.0, 1.2]])
    # means .2 .3 .4 .1 1.1; median .3; absolute deviations .1 0 .1 .2 .8, whose median is .1
    expected = np.array([-0.1, 0, 0.1, -0.2, 0.8]) / (1.4826 * 0.1)
    np.testing.assert_allclose(oddities.outliers(distances), expected, rtol=1e-5)


def test_outliers_where_most_are_as_far():
    distances = np.full((5, 2), 0.2)
    assert not oddities.outliers(distances).any()
    distances[4] = 0.7  # the median deviation is 0, the mean one 0.1
    np.testing.assert_allclose(oddities.outliers(distances), [0, 0, 0, 0, 0.5 / (1.2533 * 0.1)], rtol=1e-5)


def test_the_threshold_goes_by_what_is_usual():
    distances = np.array([[0.1, 0.2], [0.1, 0.4], [0.0, 0.6]])
    assert oddities.threshold(distances) == pytest.approx(0.75 * 0.4)
    assert oddities.threshold(np.empty((1, 0))) == 0


def test_looks_do_not_change_with_light_and_do_with_content():
    generator = np.random.default_rng(0)
    picture = generator.integers(40, 160, (24, 24, 3), dtype=np.uint8)
    other = generator.integers(40, 160, (24, 24, 3), dtype=np.uint8)
    grey = np.full((24, 24, 3), 90, np.uint8)
    found = looks.of_pictures([picture, (picture * 1.5).astype(np.uint8), other, grey, grey // 2])
    rows = np.array([[1, 2, 3], [0, 2, 4], [0, 1, 3], [4, 0, 1], [3, 0, 1]], np.int32)
    alike = looks.agreement(found, rows)
    assert alike[0, 0] > 0.99
    assert alike[0, 1] < 0.5
    assert alike[3].tolist() == [1, 0, 0]


def test_texts_look_alike_by_their_words():
    tokens = np.array([[4, 5, 6, 7, 0], [7, 6, 5, 4, 0], [8, 9, 10, 11, 12]])
    alike = looks.agreement(looks.of_words(tokens), np.array([[1, 2], [0, 2], [0, 1]], np.int32))
    assert alike[0, 0] == pytest.approx(1)
    assert alike[0, 1] < 0.1
