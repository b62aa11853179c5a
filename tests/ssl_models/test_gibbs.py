"""Gibbs sampling by the encoders' own steps."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from ssl_models.encoders.energy import turns
from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.encoders.rbm import RBM
from ssl_models.errors import DoesNotApply
from ssl_models.samplers.gibbs import gibbs
from tests.ssl_models.densities import every_state, probabilities, ring

torch.set_num_threads(1)


def test_steps_are_taken_one_after_another() -> None:
    model, x = ring(), torch.zeros(5, 9)
    generator = Generator().manual_seed(0)
    expected = model.resampled(model.resampled(x, generator), generator)
    assert torch.equal(gibbs(model, x, 2, Generator().manual_seed(0)), expected)
    assert torch.equal(gibbs(model, x, 0, Generator().manual_seed(0)), x)


def test_the_same_generator_gives_the_same_samples_and_another_one_others() -> None:
    model, x = ring(), torch.zeros(50, 9)
    first, again, other = (gibbs(model, x, 3, Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("make", [ring, lambda: RBM(visible=9), lambda: EnergyNet(visible=9, binary=True)])
def test_samples_have_no_gradients_and_the_start_stays_as_it_was(make) -> None:
    x = torch.zeros(4, 9)
    drawn = gibbs(make(), x, 1, Generator().manual_seed(0))
    assert not drawn.requires_grad
    assert drawn.dtype == torch.float32
    assert float(x.sum()) == 0
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}


def test_chains_reach_the_means_of_the_model() -> None:
    model = ring()
    drawn = gibbs(model, torch.zeros(4000, 9), 30, Generator().manual_seed(0))
    mean = probabilities(model) @ every_state()
    assert ((drawn.mean(0) - mean).abs() < 4 * (mean * (1 - mean) / 4000).sqrt()).all()


def test_real_numbers_are_sampled_where_their_conditionals_are_known() -> None:
    x = torch.zeros(3, 2)
    assert gibbs(RBM(visible=2, binary=False), x, 2, Generator().manual_seed(0)).unique().numel() == 6
    with pytest.raises(DoesNotApply, match="use Langevin's"):
        gibbs(EnergyNet(visible=2), x, 1, Generator().manual_seed(0))


def test_every_column_has_its_turn_once_with_a_bar_for_each_row() -> None:
    """A bar is below 0 for half of the rows, as its sigmoid is uniform."""
    found = list(turns(torch.zeros(2000, 7), Generator().manual_seed(0)))
    assert sorted(place for place, _ in found) == list(range(7))
    bars = torch.stack([bar for _, bar in found])
    assert bars.shape == (7, 2000)
    assert float(bars.sigmoid().mean()) == pytest.approx(0.5, abs=0.01)
    assert [place for place, _ in found] != list(range(7))
