"""Ranks and collapses without labels: values worked by hand, the equations as loops, limits, invariances."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from ssl_models import dimensions
from ssl_models.collapse import close
from ssl_models.monitor import Monitor
from ssl_models.protocols._label_free import spectra
from ssl_models.protocols._label_free.filling import told_of
from tests.ssl_models.clouds import normal, rotation


def powers(samples: int, size: int, alpha: float) -> np.ndarray:
    """Features whose covariance has exactly the eigenvalues rank^-alpha."""
    directions = np.linalg.qr(normal(samples, size) - normal(samples, size).mean(0))[0]
    directions = np.linalg.qr(directions - directions.mean(0))[0]
    return directions * np.arange(1.0, size + 1) ** (-alpha / 2) @ rotation(size)


# ---- ranks


def test_ranks_by_hand() -> None:
    assert dimensions.entropy_rank(np.full(7, 0.2)) == pytest.approx(7)
    assert dimensions.entropy_rank(np.array([3.0, 0, 0])) == 1
    assert dimensions.entropy_rank(np.zeros(3)) == 1
    assert dimensions.entropy_rank(np.array([0.5, 0.25, 0.25])) == pytest.approx(math.exp(1.5 * math.log(2)))
    assert dimensions.entropy_rank(np.array([1.0, 1.0, -0.5])) == pytest.approx(2)


@pytest.mark.parametrize(("samples", "size"), [(60, 12), (12, 60)])
def test_rankme_is_the_paper_s(samples: int, size: int) -> None:
    features = normal(samples, size) + 1
    lengths = np.linalg.svd(features, compute_uv=False)
    shares = lengths / np.abs(lengths).sum() + 1e-7
    assert dimensions.rankme(features) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


def test_rankme_of_orthonormal_features_is_their_number_and_of_one_direction_1() -> None:
    assert dimensions.rankme(np.linalg.qr(normal(50, 9))[0]) == pytest.approx(9)
    assert dimensions.rankme(np.outer(normal(50), normal(9))) == pytest.approx(1, abs=1e-6)
    assert dimensions.rankme(np.ones((50, 9))) == pytest.approx(1, abs=1e-6)
    assert dimensions.rankme(np.zeros((50, 9))) == 1


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_alpha_of_a_known_spectrum(alpha: float) -> None:
    eigenvalues = np.arange(1.0, 60) ** -alpha
    assert spectra.exponent(eigenvalues) == pytest.approx(alpha)
    assert spectra.exponent(spectra.spectrum(powers(300, 40, alpha) + 3)) == pytest.approx(alpha, abs=1e-6)


def test_alpha_is_a_fit_of_ranks_11_to_100_by_their_logarithm() -> None:
    """The weighted least squares line, by its normal equations; what lies outside of the ranks changes nothing."""
    eigenvalues = np.sort(np.random.default_rng(1).uniform(0.1, 1, 150))[::-1].copy()
    ranks = np.arange(11, 101)
    x, y, weights = np.log(ranks), np.log(eigenvalues[10:100]), 1 / ranks
    x, y = x - np.average(x, weights=weights), y - np.average(y, weights=weights)
    expected = -(weights * x * y).sum() / (weights * x * x).sum()
    assert spectra.exponent(eigenvalues) == pytest.approx(expected)
    eigenvalues[:10] *= 50
    eigenvalues[100:] /= 50
    assert spectra.exponent(eigenvalues) == pytest.approx(expected)
    assert math.isnan(spectra.exponent(eigenvalues[:19]))
    assert math.isfinite(spectra.exponent(eigenvalues[:20]))


def test_rounding_is_no_part_of_a_spectrum() -> None:
    features = normal(200, 3) @ normal(3, 30, seed=1) + 1e-6 * normal(200, 30, seed=2)
    assert len(spectra.spectrum(features)) == 3


def test_the_covariance_s_eigenvalues() -> None:
    features = normal(80, 6) @ normal(6, 6, seed=1) + 5
    expected = np.linalg.eigvalsh(np.cov(features, rowvar=False))[::-1]
    np.testing.assert_allclose(spectra.spectrum(features), expected, rtol=1e-6)


def test_lidar_is_the_paper_s_but_for_what_is_left_of_the_views_in_their_mean() -> None:
    views = normal(3, 40, 5)[:, :, :] + 2 * normal(40, 5, seed=1) @ np.diag([3, 1, 1, 0.1, 0.1])
    count, samples, size = views.shape
    within, between = np.zeros((size, size)), np.zeros((size, size))
    means = [sum(views[v, n] for v in range(count)) / count for n in range(samples)]
    middle = sum(means) / samples
    for n in range(samples):
        between += np.outer(means[n] - middle, means[n] - middle) / (samples - 1)
        for v in range(count):
            within += np.outer(views[v, n] - means[n], views[v, n] - means[n]) / (samples * (count - 1))
    between -= within / count
    within += 1e-4 * np.trace(within + between) / size * np.eye(size)
    values, axes = np.linalg.eigh(within)
    root = axes / np.sqrt(values) @ axes.T  # W^-1/2
    expected = dimensions.entropy_rank(np.linalg.eigvalsh(root @ between @ root))
    assert spectra.lidar(views) == pytest.approx(expected)


def test_lidar_counts_the_directions_that_views_keep() -> None:
    """Of 20 directions five hold the sample, ten times as wide as a view moves it; the others hold the view alone."""
    draws = np.random.default_rng(0)
    sample = np.concatenate([10 * draws.normal(size=(2000, 5)), np.zeros((2000, 15))], 1)
    assert spectra.lidar(sample + draws.normal(size=(4, 2000, 20))) == pytest.approx(5, abs=0.1)
    assert dimensions.rankme(sample + draws.normal(size=(2000, 20))) > 10  # which counts what the views change


def test_lidar_at_its_limits() -> None:
    assert spectra.lidar(np.ones((4, 30, 6))) == 1
    fixed = np.broadcast_to(np.linalg.qr(normal(30, 6) - normal(30, 6).mean(0))[0], (4, 30, 6))
    assert spectra.lidar(np.array(fixed)) == pytest.approx(6, abs=0.2)  # views that change nothing
    assert math.isnan(spectra.lidar(normal(2, 6, 6)))
    assert math.isfinite(spectra.lidar(normal(2, 7, 6)))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_ranks_do_not_depend_on_scale_nor_on_axes(scale: float) -> None:
    features, views = normal(90, 30) @ np.diag(np.arange(1, 31)), normal(4, 90, 30) + 2 * normal(90, 30, seed=3)
    turned = rotation(30) * scale
    for measure, given in ((dimensions.rankme, features), (alpha, features), (spectra.lidar, views)):
        assert measure(given @ turned) == pytest.approx(measure(given), rel=1e-6)


def alpha(features: np.ndarray) -> float:
    return spectra.exponent(spectra.spectrum(features))


# ---- collapse and few dimensions


def test_what_is_told_of_features() -> None:
    healthy = normal(300, 64)
    assert told_of(healthy) is None
    assert told_of(healthy + 10) is None  # the same, far from zero
    for point in (np.zeros((300, 64)), np.ones((300, 64)), 1 + 0.001 * healthy):
        assert (told_of(point) or "").startswith("the representation has collapsed, all samples have nearly the same")
    line = np.outer(normal(300), normal(64, seed=1)) + 0.001 * healthy
    assert (told_of(line) or "").startswith("the features differ in one direction only")
    few = normal(300, 3) @ normal(3, 64, seed=1) + 0.001 * healthy
    assert "dimensions: about 2." in (told_of(few) or "") or "dimensions: about 3." in (told_of(few) or "")
    assert told_of(normal(300, 3) @ normal(3, 30, seed=1)) is None  # 5 % of 30 are less than three


@pytest.mark.parametrize("noise", [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 1.0])
def test_a_training_and_the_protocol_call_the_same_features_collapsed(noise: float) -> None:
    """Vectors of ones with noise: a deviation of about the noise, whoever measures it."""
    features = 1 + noise * normal(300, 128)

    class Given(nn.Module):
        dim = 128

        def reads(self, _: object) -> tuple[str, ...]:
            return ("vectors",)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return vectors

    watched = Monitor({"vectors": features.repeat(2, 0).astype(np.float32)}, None, seed=0)
    measured = watched.measure(Given(), torch.device("cpu"), "float32", 256)  # type: ignore[arg-type]
    in_training = close(measured, watched.rank(Given()))  # type: ignore[arg-type]
    assert in_training is (noise <= 0.02)
    assert ("collapsed" in (told_of(features) or "")) is in_training


def test_scale_and_axes_do_not_change_what_is_told() -> None:
    few = normal(300, 3) @ normal(3, 64, seed=1) + 0.001 * normal(300, 64)
    assert told_of(few @ rotation(64) * 1e-3) == told_of(few)
