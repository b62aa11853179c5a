"""Maximum likelihood: the exact value and gradient, log Z by states or a grid, and that it reaches the truth."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.errors import DoesNotApply
from ssl_models.methods.maximum_likelihood import MaximumLikelihood
from ssl_models.partition import extent_of, log_partition
from tests.ssl_models import densities
from tests.ssl_models.energy_methods import (
    FEW,
    assert_least_at_the_truth,
    assert_needs_an_energy,
    assert_reaches_all,
    assert_the_same_under_autocast,
    built,
    coupling_error,
    gradients,
    loss_of,
    shifted,
    small,
    train,
)

torch.set_num_threads(1)
NAME = "maximum_likelihood"
NAMES = ("rbm", "boltzmann", "energy_net")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_minus_the_mean_log_probability(name: str) -> None:
    encoder = small(name)
    rows = torch.tensor([3, 3, 8, 12])
    expected = -densities.probabilities(encoder)[rows].log().mean()
    assert float(loss_of(built(NAME, encoder), densities.every_state(FEW)[rows]).detach()) == pytest.approx(
        float(expected), rel=1e-5
    )


@pytest.mark.parametrize("name", NAMES)
def test_its_gradient_is_that_of_the_data_less_that_of_the_model(name: str) -> None:
    """E_data[dE] - E_model[dE], the latter over all states."""
    encoder = small(name)
    parameters, states = list(encoder.parameters()), densities.every_state(FEW)
    x = states[[1, 6, 6, 13]]
    found = torch.autograd.grad(loss_of(built(NAME, encoder), x), parameters)
    data = torch.autograd.grad(encoder.energy(x).mean(), parameters)
    model = torch.autograd.grad((densities.probabilities(encoder) * encoder.energy(states)).sum(), parameters)
    for own, one, other in zip(found, data, model, strict=True):
        torch.testing.assert_close(own, one - other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_least_at_the_truth(name: str) -> None:
    assert_least_at_the_truth(built(NAME, small(name)))


def test_a_constant_added_to_the_energy_changes_nothing() -> None:
    x = densities.every_state(FEW)[:5]
    one, other = (built(NAME, shifted(small("boltzmann"), constant)) for constant in (0.0, 3.0))
    assert float(loss_of(one, x).detach()) == pytest.approx(float(loss_of(other, x).detach()), abs=1e-5)
    for slope, same in zip(gradients(one, x), gradients(other, x), strict=True):
        torch.testing.assert_close(slope, same)


def test_chance_is_an_even_distribution() -> None:
    flat = build_encoder("boltzmann", visible=FEW)
    method = built(NAME, flat)
    assert method.chance == pytest.approx(FEW * math.log(2))
    assert float(loss_of(method, densities.every_state(FEW)).detach()) == pytest.approx(method.chance, rel=1e-6)
    assert built(NAME, build_encoder("energy_net", visible=2)).chance == pytest.approx(math.log(64))  # of an 8 x 8 box


def test_gradients_reach_the_whole_encoder_and_autocast_rounds_nothing() -> None:
    method = built(NAME, small("rbm"))
    assert_reaches_all(method, densities.every_state(FEW)[:5])
    assert_the_same_under_autocast(method, densities.every_state(FEW)[:5])


def test_the_grid_is_shifted_by_the_seed_and_right_on_average() -> None:
    """Over many shifts exp(log Z) has the mean of a fine grid; a single coarse grid has not."""
    torch.manual_seed(0)
    encoder = build_encoder("energy_net", visible=2, width=16)
    with torch.no_grad():
        encoder.output.weight.mul_(8)  # narrow enough for a grid of six to miss
    method = MaximumLikelihood(encoder, DataSpec(9, {"vectors": (2,)}, known=densities.known("reals")), points=6)
    x = torch.zeros(1, 2)
    with torch.no_grad():
        base = encoder.energy(x).mean()
        found = torch.stack([loss_of(method, x, torch.tensor([seed])) - base for seed in range(600)])
        fine = log_partition(encoder, extent_of(densities.known("reals")), 400)
    ratios = (found - fine).exp()
    error = float(ratios.std() / len(ratios) ** 0.5)
    assert abs(float(ratios.mean()) - 1) < 4 * error
    assert float(ratios.std()) > 0.05
    assert torch.equal(loss_of(method, x, torch.tensor([3])), loss_of(method, x, torch.tensor([3])))


def test_only_where_there_is_a_grid_is_anything_drawn() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = densities.reals(4, 0)["vectors"]
    counts = {}
    for name, binary in (("rbm", True), ("rbm", False), ("energy_net", False)):
        visible = densities.UNITS if binary else 2
        method = built(NAME, build_encoder(name, visible=visible, binary=binary))
        views = method.views(densities.binary(4, 0)["vectors"] if binary else rows, generator)
        counts[name, binary] = len(views)
        assert len(method.layout(views)) == len(views)
    assert counts == {("rbm", True): 1, ("rbm", False): 1, ("energy_net", False): 2}


def test_what_is_refused() -> None:
    assert_needs_an_energy(NAME)
    with pytest.raises(ValueError, match="points is 0"):
        built(NAME, build_encoder("energy_net", visible=2), points=0)
    with pytest.raises(DoesNotApply, match=r"a sum over 2\^30 states; at most 2\^20"):
        built(NAME, build_encoder("energy_net", visible=30, binary=True), {"binary": True})
    with pytest.raises(DoesNotApply, match="log Z of 3 real numbers: quadrature takes one or two"):
        built(NAME, build_encoder("energy_net", visible=3), {"binary": False})
    for interval in ([2, 2], [3, -3], [-math.inf, 4]):
        known = densities.known("reals") | {"extent": [[-4, 4], interval]}
        with pytest.raises(ValueError, match=f"from {interval[0]}.* to {interval[1]}.* is no interval"):
            built(NAME, build_encoder("energy_net", visible=2), known)
    assert built(NAME, build_encoder("rbm", visible=30, hidden=4), {"binary": True}).chance == pytest.approx(
        30 * math.log(2)
    )


def test_it_finds_the_ring_and_its_couplings() -> None:
    method = built(NAME, build_encoder("boltzmann", visible=densities.UNITS))
    train(method, densities.binary(4096, 0)["vectors"], epochs=8, rate=0.1)
    assert coupling_error(method) < 0.04
    test = densities.binary(2048, 1)
    assert float(loss_of(method, test["vectors"]).detach()) == pytest.approx(
        -float(test["log_density"].mean()), abs=0.03
    )


def test_it_finds_the_four_gaussians() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("energy_net", visible=2, width=32)
    method = MaximumLikelihood(encoder, DataSpec(9, {"vectors": (2,)}, known=densities.known("reals")), points=32)
    train(method, densities.reals(2048, 0)["vectors"], epochs=12, rate=0.04)
    test = densities.reals(2048, 1)
    with torch.no_grad():
        found = float(
            (-encoder.energy(test["vectors"])).mean() - log_partition(encoder, extent_of(densities.known("reals")))
        )
    assert found == pytest.approx(float(test["log_density"].mean()), abs=0.08)
