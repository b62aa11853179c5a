"""The fully visible Boltzmann machine: its energy, its flips and its Gibbs sampler."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.encoders.energy import Between, EnergyEncoder
from ssl_models.errors import DoesNotApply
from tests.ssl_models.densities import every_state, probabilities

torch.set_num_threads(1)


def filled(visible: int, seed: int = 0) -> Boltzmann:
    model, generator = Boltzmann(visible=visible), Generator().manual_seed(seed)
    with torch.no_grad():
        model.upper.normal_(0, 0.7, generator=generator)
        model.fields.normal_(0, 0.5, generator=generator)
    return model


def test_three_units_by_hand() -> None:
    """x = (1, 0, 1) is s = (1, -1, 1): pairs (1,2) -J, (1,3) +J, (2,3) -J; fields h_1 - h_2 + h_3."""
    model = Boltzmann(visible=3)
    with torch.no_grad():
        model.upper.copy_(torch.tensor([0.5, -1.0, 2.0]))  # J_12, J_13, J_23
        model.fields.copy_(torch.tensor([0.25, 0.5, -0.75]))
    assert model.couplings.tolist() == [[0.0, 0.5, -1.0], [0.5, 0.0, 2.0], [-1.0, 2.0, 0.0]]
    expected = -(-0.5 - 1.0 - 2.0) - (0.25 - 0.5 - 0.75)
    assert model.energy(torch.tensor([[1.0, 0.0, 1.0]])).tolist() == pytest.approx([expected])


def test_at_the_start_all_states_have_the_same_probability() -> None:
    torch.testing.assert_close(probabilities(Boltzmann(visible=4)), torch.full((16,), 1 / 16))


def test_flips_are_differences_of_energies() -> None:
    model, x = filled(6), every_state(6)
    torch.testing.assert_close(model.flips(x), EnergyEncoder.flips_of(model, x), rtol=1e-4, atol=1e-5)


def test_the_layer_holds_the_probability_of_each_unit_given_the_others() -> None:
    model, x = filled(4), every_state(4)
    on, off = x.clone(), x.clone()
    on[:, 2], off[:, 2] = 1, 0
    weights = (-model.energy(on)).exp(), (-model.energy(off)).exp()
    torch.testing.assert_close(model(x)[:, 2], weights[0] / (weights[0] + weights[1]))
    torch.testing.assert_close(model.layers(x)["units"], model(x))


@pytest.mark.parametrize("between", [None, Between(0.3, torch.tensor([1.0, -1.0, 0.5, 0.0]), torch.zeros(4))])
def test_its_own_sweep_draws_what_the_general_one_draws(between: Between | None) -> None:
    """One draws a unit, the other whether it flips: the same numbers give other states, as often each."""
    model, x = filled(4), every_state(4).repeat(4000, 1)
    found = model.resampled(x, Generator().manual_seed(0), between)
    general = EnergyEncoder.resampled(model, x, Generator().manual_seed(0), between)
    assert found.shape == x.shape
    assert set(found.unique().tolist()) == {0.0, 1.0}
    numbers = torch.tensor([1.0, 2.0, 4.0, 8.0])
    one, other = (torch.bincount((drawn @ numbers).long(), minlength=16).double() for drawn in (found, general))
    apart = ((one - other).square() / (one + other)).sum()
    assert float(apart) < 15 + 4 * math.sqrt(30)


def test_many_steps_from_anywhere_give_the_exact_shares() -> None:
    model, generator = filled(4), Generator().manual_seed(0)
    with torch.no_grad():
        model.upper.mul_(0.5)  # so that no chain stays long in one of two valleys
    x = torch.zeros(20000, 4)
    for _ in range(30):
        x = model.resampled(x, generator)
    expected = 20000 * probabilities(model)
    seen = torch.bincount((x @ torch.tensor([1.0, 2.0, 4.0, 8.0])).long(), minlength=16)
    assert float(((seen - expected).square() / expected).sum()) < 15 + 4 * math.sqrt(30)


def test_settings_make_it_again_and_what_it_is_not_for_is_refused() -> None:
    model = Boltzmann.from_data(DataSpec(8, {"vectors": (5,)}, known={"binary": True}))
    assert build_encoder("boltzmann", **model.settings).settings == {"visible": 5, "binary": True}
    assert model.dim == model(torch.zeros(1, 5)).shape[1] == 5
    with pytest.raises(DoesNotApply, match="'boltzmann' is for vectors of 0 and 1, and these are of real numbers"):
        Boltzmann.from_data(DataSpec(8, {"vectors": (5,)}, known={"binary": False}))
    with pytest.raises(ValueError, match="visible is 0"):
        Boltzmann(visible=0)


def test_a_single_unit_has_a_field_and_no_couplings() -> None:
    model = Boltzmann(visible=1)
    with torch.no_grad():
        model.fields.fill_(0.5)
    torch.testing.assert_close(probabilities(model)[1], torch.tensor(1.0).sigmoid())
    assert model.resampled(torch.zeros(3, 1), Generator().manual_seed(0)).shape == (3, 1)
