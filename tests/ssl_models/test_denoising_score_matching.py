"""Denoising score matching as a method: its least value, the autoencoder that it is, and that it learns a density."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.encoders import build_encoder
from ssl_models.encoders.rbm import RBM
from ssl_models.partition import extent_of, log_partition
from tests.ssl_models.densities import CENTRES, DEVIATION, EXTENT, reals
from tests.ssl_models.energy_methods import (
    assert_needs_an_energy,
    assert_reaches_all,
    assert_refuses,
    assert_the_same_under_autocast,
    built,
    gradients,
    largest_gradient,
    loss_of,
    shifted,
    train,
)

torch.set_num_threads(1)

NAME = "denoising_score_matching"
NUMBERS = 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(seed))


def rbm(deviation: float = 0.8, *, weights: float = 0.5, hidden: int = 4) -> RBM:
    """Of real numbers, with weights and biases drawn at random."""
    encoder = build_encoder("rbm", visible=NUMBERS, binary=False, hidden=hidden)
    with torch.no_grad():
        encoder.weight.copy_(weights * normal(NUMBERS, hidden, seed=1))
        encoder.visible_bias.copy_(weights * normal(NUMBERS, seed=2))
        encoder.hidden_bias.copy_(weights * normal(hidden, seed=3))
        encoder.log_deviation.fill_(math.log(deviation))
    return encoder


def net(width: int = 8) -> Any:
    torch.manual_seed(0)
    return build_encoder("energy_net", visible=2, binary=False, width=width)


def test_the_views_are_the_samples_with_noise_and_the_noise() -> None:
    samples = normal(1, NUMBERS).expand(4000, NUMBERS)
    noisy, noise = built(NAME, rbm(1.0), sigma=0.5).views(samples, Generator().manual_seed(0))
    torch.testing.assert_close(noisy, samples + 0.5 * noise)
    assert (noise.T.cov() - torch.eye(NUMBERS)).abs().max() < 0.1
    assert len(noise.unique(dim=0)) == 4000


# ---- the least value


def whitened(count: int) -> tuple[Tensor, Tensor]:
    """Samples and noise (count, NUMBERS) whose joint moments are those of a unit Gaussian, up to rounding."""
    draws = normal(count, 2 * NUMBERS).double()
    draws -= draws.mean(0)
    root = torch.linalg.cholesky(draws.T @ draws / count)
    clean, noise = torch.linalg.solve_triangular(root, draws.T, upper=False).T.float().chunk(2, dim=1)
    return clean, noise


@pytest.mark.parametrize("sigma", [0.3, 1.5])
def test_of_a_unit_gaussian_it_is_least_at_the_score_of_the_blurred_one(sigma: float) -> None:
    """The score -x / (1 + sigma^2) leaves sigma score + noise a variance of 1 / (1 + sigma^2) for each number."""
    clean, noise = whitened(500)
    method = built(NAME, rbm(math.sqrt(1 + sigma**2), weights=0), sigma=sigma)
    found = loss_of(method, clean + sigma * noise, noise)
    least = NUMBERS / (2 * (1 + sigma**2))
    assert float(found.detach()) == pytest.approx(least, rel=1e-5)
    assert largest_gradient(method, found) < 1e-5
    for deviation in (1.0, 1.1 * math.sqrt(1 + sigma**2)):
        other = built(NAME, rbm(deviation, weights=0), sigma=sigma)
        cost = loss_of(other, clean + sigma * noise, noise)
        shrunk = sigma**2 / deviation**2  # sigma score + noise = -shrunk / sigma x + (1 - shrunk) noise
        expected = NUMBERS / 2 * (shrunk**2 / sigma**2 + (1 - shrunk) ** 2)
        assert float(cost.detach()) == pytest.approx(expected, rel=1e-5)
        assert float(cost.detach()) > least
        assert largest_gradient(other, cost) > 0.01


def test_a_flat_energy_costs_chance() -> None:
    clean, noise = whitened(500)
    method = built(NAME, rbm(1e4, weights=0))
    assert float(loss_of(method, clean + 0.3 * noise, noise).detach()) == pytest.approx(method.chance, rel=1e-4)
    assert method.chance == NUMBERS / 2


# ---- Vincent's equivalence


def autoencoder_error(encoder: RBM, clean: Tensor, noisy: Tensor, sigma: float) -> Tensor:
    """|r(x) - clean|^2 / (2 sigma^2) of an autoencoder with tied weights, one number after another.

    sigma * score + noise = ((1 - m) x + m (b + s W h) - clean) / sigma, with x = clean + sigma * noise, m = (sigma/s)^2
    and h = sigmoid(c + W'x / s): for s = sigma the output is that of the decoder alone.
    """
    w, b, c, s = encoder.weight, encoder.visible_bias, encoder.hidden_bias, encoder.log_deviation.exp()
    share, total = (sigma / s) ** 2, torch.zeros(())
    for x, target in zip(noisy, clean, strict=True):
        code = [torch.sigmoid(c[j] + sum(x[i] * w[i, j] for i in range(NUMBERS)) / s) for j in range(len(c))]
        for i in range(NUMBERS):
            decoded = b[i] + s * sum(w[i, j] * code[j] for j in range(len(c)))
            total = total + ((1 - share) * x[i] + share * decoded - target[i]) ** 2
    return total / len(clean) / (2 * sigma**2)


@pytest.mark.parametrize("deviation", [0.4, 0.9])
def test_of_an_rbm_of_real_numbers_it_is_the_error_of_a_denoising_autoencoder(deviation: float) -> None:
    """Where the deviation is sigma, 0.4, it is Vincent's; elsewhere the output is mixed with the input."""
    encoder, clean = rbm(deviation), normal(6, NUMBERS)
    method = built(NAME, encoder, sigma=0.4)
    noisy, noise = method.views(clean, Generator().manual_seed(0))
    expected = autoencoder_error(encoder, clean, noisy, 0.4)
    torch.testing.assert_close(loss_of(method, noisy, noise), expected, rtol=1e-4, atol=1e-5)
    wanted = torch.autograd.grad(expected, list(encoder.parameters()))
    torch.testing.assert_close(gradients(method, noisy, noise), list(wanted), rtol=1e-3, atol=1e-4)


def test_without_hidden_units_pulling_the_autoencoder_s_output_is_its_bias() -> None:
    """With W = 0 and s = sigma the decoder gives b for whatever it is given."""
    clean, noise = whitened(200)
    method = built(NAME, rbm(0.3, weights=0))
    method.encoder.visible_bias.data.fill_(2.0)
    found = float(loss_of(method, clean + 0.3 * noise, noise).detach())
    assert found == pytest.approx(NUMBERS * (1 + 2.0**2) / (2 * 0.3**2), rel=1e-4)


# ---- what it sees


def test_a_constant_added_to_the_energy_changes_nothing() -> None:
    method = built(NAME, net())
    views = method.views(reals(20, seed=0)["vectors"], Generator().manual_seed(0))
    before, slopes = loss_of(method, *views), gradients(method, *views)
    shifted(method.encoder, 3.0)
    assert torch.equal(loss_of(method, *views), before)
    torch.testing.assert_close(gradients(method, *views), slopes, rtol=0, atol=0)


@pytest.mark.parametrize("made", [net, rbm])
def test_the_gradient_reaches_every_encoder_whole(made: Any) -> None:
    encoder = made()
    method = built(NAME, encoder)
    samples = normal(20, encoder.visible)
    assert_reaches_all(method, *method.views(samples, Generator().manual_seed(0)))


def test_half_precision_is_not_used() -> None:
    method = built(NAME, net())
    assert_the_same_under_autocast(method, *method.views(reals(20, seed=0)["vectors"], Generator().manual_seed(0)))


def test_the_views_are_left_as_they_are() -> None:
    method = built(NAME, net())
    noisy, noise = method.views(reals(20, seed=0)["vectors"], Generator().manual_seed(0))
    kept = noisy.clone()
    loss_of(method, noisy, noise).backward()
    assert torch.equal(noisy, kept)
    assert noisy.grad is None
    assert not noisy.requires_grad


# ---- learning


def log_likelihood(encoder: Any) -> float:
    """The mean over test samples, by quadrature."""
    x = reals(1000, seed=1)["vectors"]
    with torch.no_grad():
        return float((-encoder.energy(x) - log_partition(encoder, extent_of({"extent": EXTENT}))).mean())


def blurred(sigma: float) -> float:
    """What the density blurred by the noise gives the test samples, which is what is learnt."""
    x, variance = reals(1000, seed=1)["vectors"], DEVIATION**2 + sigma**2
    apart = (x.unsqueeze(1) - CENTRES).square().sum(2) / (2 * variance)
    return float((-apart).logsumexp(1).mean()) - math.log(4 * 2 * math.pi * variance)


def test_it_learns_the_density_of_four_gaussians_blurred_by_the_noise() -> None:
    method = built(NAME, net(32))
    assert log_likelihood(method.encoder) < blurred(0.3) - 1
    train(method, reals(2048, seed=0)["vectors"], epochs=30, rate=0.03)
    assert log_likelihood(method.encoder) == pytest.approx(blurred(0.3), abs=0.1)


# ---- what it is given


@pytest.mark.parametrize("name", ["rbm", "boltzmann", "energy_net"])
def test_0_and_1_are_refused(name: str) -> None:
    encoder = build_encoder(name, visible=9, binary=True)
    assert_refuses(NAME, encoder, f"{NAME} is for vectors of real numbers, and these are of 0 and 1")


def test_an_encoder_without_an_energy_is_refused() -> None:
    assert_needs_an_energy(NAME)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.nan])
def test_noise_without_a_deviation_is_refused(sigma: float) -> None:
    with pytest.raises(ValueError, match=f"sigma is {sigma}; it must be greater than 0"):
        built(NAME, net(), sigma=sigma)
