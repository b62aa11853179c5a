"""The world of points: its densities are exact, scaled exactly, and what is drawn is drawn from them."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy import ndarray
from scipy import stats
from scipy.integrate import quad
from scipy.special import ndtr

from ssl_models import partition
from ssl_models.datasets import world_points
from ssl_models.datasets._world_points import mixture, rings
from ssl_models.datasets._world_points.density import Scaled
from ssl_models.datasets._world_points.mixture import Mixture
from ssl_models.datasets._world_points.rings import Rings

torch.set_num_threads(1)
DENSITIES = tuple(world_points.DENSITIES)
CELLS = 240


def fine(density: str) -> tuple[ndarray, ndarray]:
    """Middles (M, 2) of a fine grid over the extent, and the mass of each cell."""
    x, log_cell = partition.grid(world_points.EXTENT, CELLS)
    return x.double().numpy(), np.exp(world_points.scaled(density).log_density(x.double().numpy()) + log_cell)


@pytest.mark.parametrize("density", DENSITIES)
def test_the_density_integrates_to_one_and_its_moments_are_0_and_1(density: str) -> None:
    x, mass = fine(density)
    assert mass.sum() == pytest.approx(1, abs=1e-6)
    assert mass @ x == pytest.approx([0, 0], abs=1e-6)
    assert mass @ x**2 == pytest.approx([1, 1], abs=1e-5)


def test_less_than_a_millionth_lies_outside_of_the_extent() -> None:
    for density in ("mixture", "spiral"):
        truth = world_points.scaled(density)
        assert isinstance(truth.inner, Mixture)
        edges = [ndtr((sign * 4 * truth.deviation - truth.inner.centres) / truth.inner.deviation) for sign in (1, -1)]
        assert 1 - (edges[0] - edges[1]).prod(1).mean() < 1e-6
    truth = world_points.scaled("rings")
    assert isinstance(truth.inner, Rings)
    assert (1 - truth.inner.below(np.full(2, 4 * truth.deviation[0]), np.arange(2))).max() < 1e-6


def test_a_mixture_of_two_by_hand() -> None:
    two = Mixture(np.array([[3.0, 1.0], [1.0, 1.0]]), 0.5, ("right", "left"))
    assert two.centres.tolist() == [[1, 0], [-1, 0]]
    assert two.variance.tolist() == [1.25, 0.25]
    x = np.array([[0.5, 0.25]])
    bells = [math.exp(-((0.5 - c) ** 2 + 0.25**2) / (2 * 0.25)) / (2 * math.pi * 0.25) for c in (1, -1)]
    assert two.log_density(x)[0] == pytest.approx(math.log(sum(bells) / 2), abs=1e-12)
    scaled = Scaled(two)
    inside = two.log_density(x * np.sqrt([1.25, 0.25]))
    assert scaled.log_density(x) == pytest.approx(inside + math.log(math.sqrt(1.25 * 0.25)), abs=1e-12)
    assert two.log_density(np.array([[1e3, 0.0]]))[0] == pytest.approx(-(999**2) / 0.5 - math.log(math.pi), rel=1e-12)


def test_the_moments_and_shares_of_a_ring_are_those_of_quadrature() -> None:
    """Of wide rings, for which the edge at the middle matters."""
    wide = Rings((0.3, 1.0), 0.5)
    for number, radius in enumerate((0.3, 1.0)):

        def weight(r: float, power: int, radius: float = radius) -> float:
            return r**power * math.exp(-((r - radius) ** 2) / 0.5)

        first = quad(weight, 0, 8, (1,))[0]
        assert wide.first[number] == pytest.approx(first, rel=1e-8)
        assert wide.below(np.array([0.7]), np.array([number]))[0] == pytest.approx(
            quad(weight, 0, 0.7, (1,))[0] / first
        )
    squares = [quad(lambda r, c=c: r**3 * math.exp(-((r - c) ** 2) / 0.5), 0, 8)[0] for c in (0.3, 1.0)]
    assert wide.variance == pytest.approx(np.full(2, (np.array(squares) / wide.first).mean() / 2), rel=1e-8)
    drawn = wide.draw(4000, np.random.default_rng(0))
    shares = wide.below(np.hypot(*drawn.points.T), drawn.labels)
    assert stats.kstest(shares, "uniform").pvalue > 0.01


@pytest.mark.parametrize("density", DENSITIES)
def test_samples_fall_where_the_density_says(density: str) -> None:
    """Chi-square over cells that expect at least five samples, the others together."""
    _, mass = fine(density)
    side = CELLS // 12
    coarse = mass.reshape(12, side, 12, side).sum((1, 3)).ravel()
    vectors = world_points.load(seed=0, density=density).train.parts["vectors"].numpy()
    found, _, _ = np.histogram2d(*vectors.T, bins=12, range=world_points.EXTENT)
    expected, found = coarse * len(vectors), found.ravel()
    many = expected >= 5
    assert many.sum() > 20
    observed = np.append(found[many], found[~many].sum())
    wanted = np.append(expected[many], len(vectors) - expected[many].sum())
    assert stats.chi2.sf((np.square(observed - wanted) / wanted.clip(1)).sum(), len(wanted) - 1) > 0.001


@pytest.mark.parametrize("density", DENSITIES)
def test_what_is_told_of_the_data_is_what_they_hold(density: str) -> None:
    settings: dict[str, Any] = {"density": density, "train": 500, "test": 100}
    data = world_points.load(seed=3, **settings)
    shapes, known = world_points.describe(**settings)
    assert world_points.count(seed=3, **settings) == (len(data.train), len(data.test)) == (500, 100)
    assert shapes == {"vectors": (2,)}
    assert known.keys() == data.known.keys()
    assert json.loads(json.dumps(data.known)) == data.known
    assert (data.known["binary"], data.known["extent"]) == (False, [[-4, 4], [-4, 4]])
    vectors = data.train.parts["vectors"]
    assert vectors.dtype == torch.float32
    assert data.known["mean"] == pytest.approx(vectors.mean(0).tolist(), abs=1e-6)
    assert data.known["deviation"] == pytest.approx(vectors.std(0, correction=0).tolist(), abs=1e-6)
    for split in (data.train, data.test):
        stored = split.parts["vectors"].double().numpy()
        log_p = split.truth["log_density"]
        assert log_p.dtype == torch.float32
        assert log_p.numpy() == pytest.approx(world_points.scaled(density).log_density(stored), abs=1e-5)
        assert split.factors["radius"].numpy() == pytest.approx(np.hypot(*stored.T), abs=1e-6)
        assert all(values.dtype == torch.float32 for values in split.factors.values())


@pytest.mark.parametrize("density", DENSITIES)
def test_the_surface_is_log_p_in_the_middles_of_cells(density: str) -> None:
    surface = np.array(world_points.describe(density=density)[1]["surface"])
    assert surface.shape == (64, 64)
    assert surface.min() >= -60
    middle = np.array([[-4 + 8 / 64 * 20.5, -4 + 8 / 64 * 40.5]])
    own = world_points.scaled(density).log_density(middle)[0]
    assert surface[20, 40] == pytest.approx(max(own, -60), abs=1e-4)
    assert (surface.round(4) == surface).all()


def test_the_entropy_is_that_of_parts_that_do_not_overlap() -> None:
    found = {density: world_points.describe(density=density)[1]["entropy"] for density in DENSITIES}
    deviation = mixture.APART / world_points.scaled("mixture").deviation[0]
    assert found["mixture"] == pytest.approx(math.log(8) + 1 + math.log(2 * math.pi * deviation**2), abs=1e-3)
    # a ring that is narrow beside its radius: log of its circumference, and the entropy of the profile
    width, scale = rings.WIDTH, world_points.scaled("rings").deviation[0]
    of_rings = [math.log(2 * math.pi * r * width * math.sqrt(2 * math.pi * math.e) / scale**2) for r in rings.RADII]
    assert found["rings"] == pytest.approx(math.log(2) + sum(of_rings) / 2, abs=0.01)
    for density, entropy in found.items():
        log_p = world_points.load(seed=1, density=density).train.truth["log_density"]
        assert -log_p.mean().item() == pytest.approx(entropy, abs=4 * log_p.std().item() / len(log_p) ** 0.5)


def test_labels_are_the_nearest_gaussian_ring_and_arm() -> None:
    for density, classes in (("mixture", 8), ("rings", 2), ("spiral", 2)):
        data = world_points.load(seed=0, density=density).train
        truth = world_points.scaled(density)
        x = data.parts["vectors"].double().numpy() * truth.deviation
        if isinstance(truth.inner, Mixture):
            apart = np.square(x[:, None] - truth.inner.centres).sum(2)
            own = apart.argmin(1) // (len(truth.inner.centres) // classes)
        else:
            own = np.abs(np.hypot(*x.T)[:, None] - rings.RADII).argmin(1)
        assert data.labels is not None
        assert data.labels.dtype == torch.int64
        labels = data.labels.numpy()
        assert (labels == own).mean() > 0.995
        assert np.bincount(labels).min() > 0.9 * len(labels) / classes
        assert len(world_points.load(seed=0, density=density, train=2, test=1).classes) == classes


def test_along_the_arm_goes_from_the_middle_outwards() -> None:
    factors = world_points.load(seed=0, density="spiral").train.factors
    assert (factors["along"].min().item(), factors["along"].max().item()) == (0, 1)
    assert stats.spearmanr(factors["along"], factors["radius"]).statistic > 0.95
    assert set(world_points.load(seed=0, density="rings", train=2, test=1).train.factors) == {"radius"}


@pytest.mark.parametrize("density", DENSITIES)
def test_same_seed_same_bytes_and_other_seeds_and_splits_differ(density: str) -> None:
    first, again, other = (world_points.load(seed=seed, density=density, train=50, test=50) for seed in (1, 1, 2))
    for split, same in ((first.train, again.train), (first.test, again.test)):
        assert torch.equal(split.parts["vectors"], same.parts["vectors"])
        assert torch.equal(split.truth["log_density"], same.truth["log_density"])
    points = torch.cat([split.parts["vectors"] for split in (first.train, first.test, other.train, other.test)])
    assert len(points.unique(dim=0)) == 200


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"density": "moons"}, "density is 'moons'; choose one of mixture, rings, spiral"),
        ({"seed": -1}, "world_points seed is -1"),
        ({"train": 1}, "world_points train is 1; it must be at least 2"),
        ({"test": 0}, "world_points test is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], words: str) -> None:
    for function in (world_points.load, world_points.count, world_points.describe):
        with pytest.raises(ValueError, match=words):
            function(**{"seed": 0, **settings})
