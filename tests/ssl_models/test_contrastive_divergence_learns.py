"""Contrastive divergence learns distributions whose likelihood is known exactly: a ring, bars, four Gaussians."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.datasets import world_strokes
from ssl_models.encoders import build_encoder
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.partition import log_partition
from tests.ssl_models import densities
from tests.ssl_models.energy_methods import built, train

torch.set_num_threads(1)
NAME = "contrastive_divergence"


@pytest.mark.parametrize("settings", [{}, {"persistent": True, "steps": 2}])
def test_it_learns_the_ring(settings: dict[str, Any]) -> None:
    """Within 0.06 nats of the truth, where an untrained machine is a nat away."""
    test = densities.binary(2048, 1)
    method = built(NAME, build_encoder("boltzmann", visible=densities.UNITS), **settings)
    before = gap(method.encoder, test)
    train(method, densities.binary(4096, 0)["vectors"], epochs=5, rate=0.1)
    assert before > 0.9
    assert gap(method.encoder, test) < 0.06


def test_one_step_is_enough_to_improve_the_likelihood_of_bars() -> None:
    data = world_strokes.load(seed=0, pattern="bars", train=2048, test=512)
    test = {"vectors": data.test.parts["vectors"], "log_density": data.test.truth["log_density"]}
    torch.manual_seed(0)
    encoder = build_encoder("rbm", visible=16, hidden=12)
    before = gap(encoder, test)
    train(built(NAME, encoder, data.known), data.train.parts["vectors"], epochs=10, rate=0.05)
    assert gap(encoder, test) < before - 0.4


def test_it_learns_the_four_gaussians_by_langevin_dynamics() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("energy_net", visible=2, width=32)
    test = densities.reals(1024, 1)
    before = gap(encoder, test)
    train(built(NAME, encoder, steps=5), densities.reals(2048, 0)["vectors"], epochs=8, rate=0.02)
    assert gap(encoder, test) < 0.2 * before


@torch.no_grad()
def gap(encoder: EnergyEncoder, test: dict[str, Tensor]) -> float:
    """Nats below the truth."""
    extent = None if encoder.binary else tuple(map(tuple, densities.EXTENT))
    found = (-encoder.energy(test["vectors"])).mean() - log_partition(encoder, extent)
    return float(test["log_density"].mean() - found)
