"""Langevin dynamics: exact with Metropolis' correction, and wrong by a known amount without."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.samplers.langevin import followed, langevin, score
from tests.ssl_models.densities import mixture_log_density, reals

torch.set_num_threads(1)
CHAINS = 20000
SLOPES = torch.tensor([[2.0, 0.5], [0.5, 1.0]])


def gaussian(x: Tensor) -> Tensor:
    """(B, D) -> (B,): of the standard normal distribution."""
    return x.square().sum(1) / 2


def leaning(x: Tensor) -> Tensor:
    """Of a Gaussian about (1, -1) with the precision SLOPES."""
    away = x - torch.tensor([1.0, -1.0])
    return (away @ SLOPES * away).sum(1) / 2


def test_the_score_of_a_gaussian_by_hand() -> None:
    """-(2 * 1 + 0.5 * 2, 0.5 * 1 + 1 * 2) at (2, 1), which is (1, 2) away."""
    assert score(leaning, torch.tensor([[2.0, 1.0]])).tolist() == [[-3.0, -2.5]]


def test_the_score_can_be_learnt_from_where_that_is_asked_for() -> None:
    torch.manual_seed(0)
    model, x = EnergyNet(visible=2, width=4), torch.randn(3, 2)
    assert not score(model.energy, x).requires_grad
    given = x.clone().requires_grad_()
    kept = score(model.energy, given, keep=True)
    kept.square().sum().backward()
    assert given.grad is not None
    assert all(weights.grad is not None for weights in model.parameters())
    assert not x.requires_grad


def test_the_correction_keeps_a_gaussian_whatever_the_step() -> None:
    """Means within 4 standard errors, and variances 1, whose error is sqrt(2 / CHAINS)."""
    for step in (0.5, 1.2):
        generator = Generator().manual_seed(0)
        x = langevin(gaussian, torch.randn(CHAINS, 1, generator=generator), 10, step, generator)
        assert abs(float(x.mean())) < 4 / math.sqrt(CHAINS)
        assert abs(float(x.var()) - 1) < 4 * math.sqrt(2 / CHAINS)


def test_chains_from_elsewhere_reach_mean_and_covariance() -> None:
    x = langevin(leaning, torch.full((CHAINS, 2), 3.0), 60, 0.8, Generator().manual_seed(0))
    covariance = SLOPES.inverse()
    spread = covariance.diagonal().sqrt()
    assert ((x.mean(0) - torch.tensor([1.0, -1.0])).abs() < 4 * spread / math.sqrt(CHAINS)).all()
    errors = ((spread[:, None] * spread).square() + covariance.square()).sqrt() / math.sqrt(CHAINS)
    assert ((x.T.cov() - covariance).abs() < 4 * errors).all()


def test_the_correction_keeps_a_mixture_that_is_no_gaussian() -> None:
    """The mean log density of four peaks, before and after."""
    x = reals(CHAINS, 0)["vectors"]
    moved = langevin(lambda at: -mixture_log_density(at), x, 10, 0.4, Generator().manual_seed(0))
    before, after = mixture_log_density(x), mixture_log_density(moved)
    assert abs(float(after.mean() - before.mean())) < 4 * math.sqrt(2) * float(before.std()) / math.sqrt(CHAINS)
    assert float((moved != x).float().mean()) > 0.5


@pytest.mark.parametrize("step", [0.6, 1.0])
def test_without_correction_the_variance_of_a_gaussian_is_too_large_by_a_known_factor(step: float) -> None:
    """x' = (1 - step^2 / 2) x + step n has the variance v = (1 - step^2 / 2)^2 v + step^2, so 1 / (1 - step^2 / 4)."""
    x = langevin(gaussian, torch.zeros(CHAINS, 1), 60, step, Generator().manual_seed(0), adjust=False)
    expected = 1 / (1 - step**2 / 4)
    assert abs(float(x.var()) - expected) < 4 * expected * math.sqrt(2 / CHAINS)
    assert expected - 1 > 8 * math.sqrt(2 / CHAINS)


def test_one_step_without_correction_by_hand() -> None:
    x = torch.tensor([[2.0, 1.0]])
    noise = torch.randn(1, 2, generator=Generator().manual_seed(3))
    expected = x + 0.5**2 / 2 * torch.tensor([[-3.0, -2.5]]) + 0.5 * noise
    torch.testing.assert_close(langevin(leaning, x, 1, 0.5, Generator().manual_seed(3), adjust=False), expected)


def test_several_step_lengths_are_taken_in_turn() -> None:
    x, generator = torch.zeros(6, 2), Generator().manual_seed(0)
    expected = x
    for step in (0.5, 0.1, 0.5):
        expected = langevin(leaning, expected, 1, step, generator)
    torch.testing.assert_close(langevin(leaning, x, 3, (0.5, 0.1), Generator().manual_seed(0)), expected)


def test_a_step_into_what_is_not_finite_is_not_taken() -> None:
    def walled(x: Tensor) -> Tensor:
        return torch.where(x[:, 0] > 0, math.inf, gaussian(x))

    x = langevin(walled, torch.full((200, 1), -0.1), 20, 0.5, Generator().manual_seed(0))
    assert bool((x < 0).all())
    assert float(x.std()) > 0.2


def test_the_same_generator_gives_the_same_samples_and_nothing_else_is_touched() -> None:
    torch.manual_seed(0)
    model, start = EnergyNet(visible=2, width=4), torch.randn(5, 2)
    before = start.clone()
    first, again = (langevin(model.energy, start, 4, 0.3, Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(start, before)
    assert not first.requires_grad
    assert not start.requires_grad
    assert all(weights.grad is None and weights.requires_grad for weights in model.parameters())
    with torch.no_grad():
        assert torch.equal(langevin(model.energy, start, 4, 0.3, Generator().manual_seed(1)), first)
    assert torch.equal(langevin(model.energy, start, 0, 0.3, Generator()), start)


@pytest.mark.parametrize("step", [0.0, -0.1, math.nan, (0.1, 0.0)])
def test_a_step_that_is_not_above_nought_is_refused(step: float) -> None:
    with pytest.raises(ValueError, match=r"step is (0|-0\.1|nan).*must be greater than 0"):
        langevin(gaussian, torch.zeros(1, 1), 1, step, Generator())


def test_the_share_of_steps_that_were_taken_is_that_of_rows_that_moved() -> None:
    """A step that is taken moves its row, as noise is never 0."""
    start = torch.randn(400, 2, generator=Generator().manual_seed(3))
    generator, x, shares = Generator().manual_seed(1), start, []
    for _ in range(4):
        before, x = x, langevin(gaussian, x, 1, 1.5, generator)
        shares.append(float((x != before).any(1).float().mean()))
    ended, found = followed(gaussian, start, 4, 1.5, Generator().manual_seed(1))
    torch.testing.assert_close(ended, x)
    assert float(found) == pytest.approx(sum(shares) / 4)
    assert 0.2 < float(found) < 0.95
    for step, adjust, expected in ((1e4, True, 0), (1e-4, True, 1), (1e4, False, 1)):
        _, share = followed(gaussian, start, 2, step, Generator(), adjust=adjust)
        assert float(share) == pytest.approx(expected, abs=0.01)


def test_autocast_rounds_neither_scores_nor_steps() -> None:
    """What is computed backwards would be rounded too, though the energy is not."""
    torch.manual_seed(0)
    energy, x = EnergyNet(visible=2, width=16).energy, torch.randn(50, 2, generator=Generator().manual_seed(0))

    def found() -> tuple[Tensor, Tensor]:
        return score(energy, x), langevin(energy, x, 3, 0.3, Generator().manual_seed(1))

    exact = found()
    with torch.autocast("cpu", torch.bfloat16):
        rounded = found()
    assert all(torch.equal(one, other) for one, other in zip(exact, rounded, strict=True))
