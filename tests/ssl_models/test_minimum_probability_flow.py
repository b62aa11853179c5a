"""Minimum probability flow as a method: where it is least, what it does not see, and that it finds couplings."""

from __future__ import annotations

import pytest
import torch

from ssl_models.encoders import build_encoder
from ssl_models.losses.energy import probability_flow
from tests.ssl_models.densities import UNITS, binary
from tests.ssl_models.energy_methods import (
    SMALL,
    assert_least_at_the_truth,
    assert_needs_an_energy,
    assert_reaches_all,
    assert_refuses,
    assert_the_same_under_autocast,
    built,
    coupling_error,
    loss_of,
    shifted,
    small,
    train,
)

torch.set_num_threads(1)

NAME = "minimum_probability_flow"


def test_the_loss_is_that_of_all_single_flips() -> None:
    encoder, vectors = small("rbm"), binary(20, seed=0)["vectors"][:, :4]
    (view,) = built(NAME, encoder).views(vectors, torch.Generator())
    assert torch.equal(view, vectors)
    assert torch.equal(loss_of(built(NAME, encoder), view), probability_flow(encoder.flips(vectors)))


def test_equal_energies_cost_chance() -> None:
    method = built(NAME, build_encoder("boltzmann", visible=UNITS))
    found = float(loss_of(method, binary(20, seed=0)["vectors"]).detach())
    assert found == pytest.approx(method.chance) == UNITS


@pytest.mark.parametrize("name", ["boltzmann", "rbm"])
def test_under_the_model_s_own_distribution_it_is_least_at_the_model(name: str) -> None:
    assert_least_at_the_truth(built(NAME, small(name)))


def test_a_constant_added_to_the_energy_changes_nothing() -> None:
    encoder, vectors = small("energy_net"), binary(20, seed=0)["vectors"][:, :4]
    before = loss_of(built(NAME, encoder), vectors)
    after = loss_of(built(NAME, shifted(encoder, 3.0)), vectors)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_the_gradient_reaches_every_encoder_whole(name: str) -> None:
    assert_reaches_all(built(NAME, small(name)), binary(20, seed=0)["vectors"][:, :4])


@pytest.mark.parametrize("name", SMALL)
def test_half_precision_is_not_used(name: str) -> None:
    assert_the_same_under_autocast(built(NAME, small(name)), binary(20, seed=0)["vectors"][:, :4])


def test_it_finds_the_couplings_of_a_ring() -> None:
    method = built(NAME, build_encoder("boltzmann", visible=UNITS))
    assert coupling_error(method) == pytest.approx(0.25)
    train(method, binary(2048, seed=0)["vectors"], epochs=10, rate=0.1)
    assert coupling_error(method) < 0.07


@pytest.mark.parametrize("name", ["rbm", "energy_net"])
def test_real_numbers_are_refused(name: str) -> None:
    encoder = build_encoder(name, visible=2, binary=False)
    assert_refuses(NAME, encoder, f"{NAME} is for vectors of 0 and 1, and these are of real numbers")


def test_an_encoder_without_an_energy_is_refused() -> None:
    assert_needs_an_energy(NAME)
