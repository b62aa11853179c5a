"""Noise-contrastive estimation as a method: its noise, its logits, the log Z that it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.distributions import Normal

from ssl_models.encoders import build_encoder
from ssl_models.partition import extent_of, log_partition
from tests.ssl_models import densities
from tests.ssl_models.built_methods import score
from tests.ssl_models.densities import EXTENT, UNITS, binary, probabilities, reals
from tests.ssl_models.energy_methods import (
    FEW,
    assert_needs_an_energy,
    assert_reaches_all,
    assert_refuses,
    assert_the_same_under_autocast,
    built,
    coupling_error,
    largest_gradient,
    loss_of,
    shifted,
    small,
    train,
)

torch.set_num_threads(1)

NAME = "noise_contrastive_estimation"
KNOWN = {"binary": True, "mean": [0.2, 0.5, 0.7, 0.4], "deviation": [0.4, 0.5, 0.458, 0.49]}
OF_REALS = {"binary": False, "mean": [1.0, -2.0], "deviation": [0.5, 2.0]}


def few(name: str = "rbm", **settings: Any) -> Any:
    """Around four units of 0 and 1."""
    return built(NAME, small(name), KNOWN, **settings)


def of_reals(**settings: Any) -> Any:
    torch.manual_seed(0)
    return built(NAME, build_encoder("energy_net", visible=2, binary=False, width=8), OF_REALS, **settings)


def noise_of(method: Any, samples: Tensor, seed: int = 0) -> Tensor:
    return method.views(samples, Generator().manual_seed(seed))[1]


# ---- noise


def test_the_views_are_the_samples_as_they_are_and_noise_for_each() -> None:
    samples = binary(6, seed=0)["vectors"][:, :FEW]
    view, noise = few(ratio=3).views(samples, Generator().manual_seed(0))
    assert torch.equal(view, samples)
    assert noise.shape == (18, FEW)
    assert set(noise.flatten().tolist()) == {0.0, 1.0}
    assert len(noise.unique(dim=0)) > 4


def test_noise_of_0_and_1_is_independent_with_the_data_s_means() -> None:
    noise = noise_of(few(ratio=20), torch.zeros(1000, FEW))
    torch.testing.assert_close(noise.mean(0), torch.tensor(KNOWN["mean"]), atol=0.02, rtol=0)
    assert (noise.T.corrcoef() - torch.eye(FEW)).abs().max() < 0.03


def test_the_probabilities_of_noise_of_0_and_1_are_those_of_independent_units() -> None:
    states = densities.every_state(FEW)
    found = few().log_noise(states).exp()
    assert float(found.sum()) == pytest.approx(1, rel=1e-5)
    for state, share in zip(states.tolist(), found.tolist(), strict=True):
        expected = math.prod(mean if on else 1 - mean for on, mean in zip(state, KNOWN["mean"], strict=True))
        assert share == pytest.approx(expected, rel=1e-4)


def test_a_unit_that_is_never_on_in_the_data_is_sometimes_on_in_noise() -> None:
    method = built(NAME, small("rbm"), KNOWN | {"mean": [0.0, 1.0, 0.5, 0.5]})
    states = densities.every_state(FEW)
    assert method.log_noise(states).isfinite().all()
    assert float(method.log_noise(states).exp()[states[:, 0] == 1].sum()) == pytest.approx(0.01, rel=1e-4)
    assert float(method.log_noise(states).exp()[states[:, 1] == 0].sum()) == pytest.approx(0.01, rel=1e-3)


def test_noise_of_real_numbers_is_gaussian_and_wider_than_the_data_by_spread() -> None:
    method = of_reals(ratio=20, spread=1.5)
    noise = noise_of(method, torch.zeros(1000, 2))
    torch.testing.assert_close(noise.mean(0), torch.tensor([1.0, -2.0]), atol=0.06, rtol=0)
    torch.testing.assert_close(noise.std(0), torch.tensor([0.75, 3.0]), atol=0, rtol=0.03)
    expected = Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.75, 3.0])).log_prob(noise).sum(1)
    torch.testing.assert_close(method.log_noise(noise), expected, rtol=1e-4, atol=1e-4)


# ---- logits


@pytest.mark.parametrize("name", ["boltzmann", "rbm", "energy_net"])
def test_with_the_true_log_z_the_logit_is_that_of_bayes(name: str) -> None:
    """P(sample | x) = p / (p + r q), by the model's and the noise's probabilities of all states."""
    method = few(name, ratio=3)
    states = densities.every_state(FEW)
    with torch.no_grad():
        method.log_z.copy_(log_partition(method.encoder))
        found = torch.sigmoid(method.logits(states))
    p, q = probabilities(method.encoder), method.log_noise(states).exp()
    torch.testing.assert_close(found, p / (p + 3 * q), rtol=1e-4, atol=1e-6)


def test_the_accuracy_counts_noise_as_often_as_it_comes() -> None:
    """Of two samples one is taken for noise; of six of noise, two for samples: 5 of 8."""
    method = built(NAME, build_encoder("boltzmann", visible=FEW), KNOWN | {"mean": [0.5] * FEW}, ratio=3)
    method.encoder.fields.data[:2] = 10.0  # p = 1/4 over r q = 3/16 where the first two units are on, else 0
    with torch.no_grad():
        method.log_z.copy_(log_partition(method.encoder))
    samples, noise = torch.zeros(2, FEW), torch.zeros(6, FEW)
    samples[0, :2] = noise[1, :2] = noise[4, :2] = 1
    terms = score(method, (samples, noise)).terms
    assert float(terms["accuracy"]) == pytest.approx(5 / 8)
    assert not terms["accuracy"].requires_grad


def test_what_is_only_logged_has_no_gradient_and_keeps_its_value() -> None:
    method = few()
    terms = score(method, method.views(torch.zeros(3, FEW), Generator().manual_seed(0))).terms
    assert set(terms) == {"loss", "accuracy", "log_z"}
    assert not terms["log_z"].requires_grad
    before = float(method.log_z.detach())
    method.log_z.data.add_(1)
    assert float(terms["log_z"]) == before


# ---- log Z


def test_a_model_that_is_the_noise_starts_with_its_log_z_and_at_chance() -> None:
    method = built(NAME, build_encoder("boltzmann", visible=FEW), KNOWN | {"mean": [0.5] * FEW})
    assert float(method.log_z.detach()) == pytest.approx(FEW * math.log(2), rel=1e-5)
    found = loss_of(method, *method.views(torch.zeros(3, FEW), Generator().manual_seed(0)))
    assert float(found.detach()) == pytest.approx(method.chance, rel=1e-5)


@pytest.mark.parametrize("made", [few, of_reals])
def test_the_mean_logit_of_noise_is_at_first_that_of_chance(made: Any) -> None:
    """Of other noise than log_z was set by; its 256 draws are from no other generator."""
    method = made()
    noise = noise_of(method, torch.zeros(2000, method.encoder.visible), seed=1)
    logits = method.logits(noise)
    tolerance = 5 * float(logits.std().detach()) / 256**0.5
    assert float(logits.mean().detach()) == pytest.approx(-math.log(5), abs=tolerance)
    encoder, before = small("rbm"), torch.random.get_rng_state()
    again = [built(NAME, encoder, KNOWN).log_z for _ in range(2)]
    assert torch.equal(*again)
    assert torch.equal(torch.random.get_rng_state(), before)


def exact(method: Any) -> Tensor:
    """The loss's expectation, where samples are of the model itself."""
    states = densities.every_state(FEW)
    p, q = probabilities(method.encoder), method.log_noise(states).exp()
    h = torch.sigmoid(method.logits(states))
    return -(p * h.log()).sum() - method.ratio * (q * (1 - h).log()).sum()


@pytest.mark.parametrize("name", ["boltzmann", "rbm", "energy_net"])
def test_under_the_model_s_own_distribution_it_is_stationary_at_the_true_log_z_alone(name: str) -> None:
    method = few(name)
    with torch.no_grad():
        method.log_z.copy_(log_partition(method.encoder))
    here = exact(method)
    assert largest_gradient(method, here) < 1e-5
    for away in (-0.5, 1.0):
        method.log_z.data.add_(away)
        assert exact(method) > here + 0.01
        assert largest_gradient(method, exact(method)) > 0.05


def test_a_constant_added_to_the_energy_is_taken_up_by_log_z_and_by_nothing_else() -> None:
    method = few("energy_net")
    views = method.views(binary(20, seed=0)["vectors"][:, :FEW], Generator().manual_seed(0))
    before = loss_of(method, *views)
    shifted(method.encoder, 3.0)
    assert float((loss_of(method, *views) - before).abs().detach()) > 0.5
    method.log_z.data.sub_(3.0)
    torch.testing.assert_close(loss_of(method, *views), before, rtol=1e-5, atol=1e-5)


def test_it_finds_the_couplings_of_a_ring_and_log_z() -> None:
    method = built(NAME, build_encoder("boltzmann", visible=UNITS))
    true = float(log_partition(densities.ring()).detach())
    assert float(method.log_z.detach()) < true - 1
    train(method, binary(2048, seed=0)["vectors"], epochs=20, rate=0.1)
    assert coupling_error(method) < 0.07
    assert float(method.log_z.detach()) == pytest.approx(float(log_partition(method.encoder).detach()), abs=0.05)
    assert float(method.log_z.detach()) == pytest.approx(true, abs=0.3)


def test_of_four_gaussians_it_finds_log_z_by_quadrature() -> None:
    torch.manual_seed(0)
    method = built(NAME, build_encoder("energy_net", visible=2, binary=False, width=32))
    train(method, reals(2048, seed=0)["vectors"], epochs=20, rate=0.03)
    true = log_partition(method.encoder, extent_of({"extent": EXTENT}))
    assert float(method.log_z.detach()) == pytest.approx(float(true.detach()), abs=0.1)


# ---- what it is given


@pytest.mark.parametrize("name", ["boltzmann", "rbm", "energy_net"])
def test_the_gradient_reaches_every_encoder_whole_and_log_z(name: str) -> None:
    method = few(name)
    views = method.views(binary(20, seed=0)["vectors"][:, :FEW], Generator().manual_seed(0))
    assert_reaches_all(method, *views)
    loss_of(method, *views).backward()
    assert method.log_z.grad.abs() > 0


def test_half_precision_is_not_used() -> None:
    method = few("boltzmann")
    views = method.views(binary(20, seed=0)["vectors"][:, :FEW], Generator().manual_seed(0))
    assert_the_same_under_autocast(method, *views)


def test_log_z_is_checkpointed_and_the_noise_is_not() -> None:
    assert {name for name in few().state_dict() if not name.startswith("encoder.")} == {"log_z"}


@pytest.mark.parametrize("lacking", ["mean", "deviation"])
def test_data_whose_moments_are_not_known_are_refused(lacking: str) -> None:
    known = {name: value for name, value in KNOWN.items() if name != lacking}
    assert_refuses(NAME, small("rbm"), f"whose {lacking} is not known here", known=known)


def test_a_constant_number_is_refused_where_numbers_are_real() -> None:
    encoder = build_encoder("rbm", visible=2, binary=False)
    assert_refuses(NAME, encoder, "number 1 of these vectors is constant", known=OF_REALS | {"deviation": [1.0, 0.0]})
    built(NAME, small("rbm"), KNOWN | {"deviation": [0.0] * FEW})


def test_an_encoder_without_an_energy_is_refused() -> None:
    assert_needs_an_energy(NAME)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"ratio": 0}, "ratio is 0"), ({"spread": 0.0}, r"spread is 0\.0"), ({"spread": math.nan}, "spread is nan")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        few(**settings)
