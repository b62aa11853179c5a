"""Contrastive divergence: its gradient by hand and in expectation, its chains, and what is kept of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.errors import DoesNotApply
from ssl_models.methods.contrastive_divergence import distance
from ssl_models.methods.maximum_likelihood import MaximumLikelihood
from ssl_models.observer import Silent
from ssl_models.partition import log_partition
from ssl_models.samplers.gibbs import gibbs
from ssl_models.trainer import Settings, Training
from tests.ssl_models import densities
from tests.ssl_models.energy_methods import FEW, assert_needs_an_energy, built, shifted, small, train

torch.set_num_threads(1)
NAME = "contrastive_divergence"
SEED = torch.tensor([7])


def contrast(method: Any, x: Tensor, seed: Tensor = SEED) -> Tensor:
    return method.loss(x, seed, index=torch.arange(len(x))).terms["contrast"]


def gradient(method: Any, value: Tensor) -> Tensor:
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(method.encoder.parameters()))])


def likelihood_gradient(encoder: EnergyEncoder, x: Tensor) -> Tensor:
    return gradient(
        method := MaximumLikelihood(encoder, DataSpec(9, {"vectors": (FEW,)})), method.loss(x, index=x)["loss"]
    )


def test_the_gradient_is_that_of_the_data_less_that_of_samples() -> None:
    encoder = small("rbm")
    method = built(NAME, encoder, steps=3)
    x = densities.every_state(FEW)[[3, 5, 6, 9]]
    ended = gibbs(encoder, x, 3, Generator().manual_seed(7))
    expected = gradient(method, encoder.energy(x).mean()) - gradient(method, encoder.energy(ended).mean())
    torch.testing.assert_close(gradient(method, contrast(method, x)), expected)


def test_a_machine_of_two_units_by_hand() -> None:
    """E(v) = -v b - softplus(c + v w) for one visible and one hidden unit; a chain that is led to 1, from 0."""
    encoder = build_encoder("rbm", visible=1, hidden=1)
    with torch.no_grad():
        encoder.weight.fill_(0.5)
        encoder.visible_bias.fill_(30.0)  # so that the chain ends at 1 whatever is drawn
        encoder.hidden_bias.fill_(-0.25)
    method = built(NAME, encoder, {"binary": True})
    value = contrast(method, torch.zeros(1, 1))
    log = torch.nn.functional.softplus
    c, w = torch.tensor(-0.25), torch.tensor(0.5)
    assert float(value.detach()) == pytest.approx(float(-log(c) + 30 + log(c + w)), abs=1e-5)
    by_weight, by_visible, by_hidden = torch.autograd.grad(
        value, [encoder.weight, encoder.visible_bias, encoder.hidden_bias]
    )
    assert float(by_visible) == 1  # -0 from the data, +1 from the sample
    assert float(by_weight) == pytest.approx(float(torch.sigmoid(c + w)))
    assert float(by_hidden) == pytest.approx(float(torch.sigmoid(c + w) - torch.sigmoid(c)))


@pytest.mark.parametrize("name", ["rbm", "boltzmann", "energy_net"])
def test_on_its_own_samples_the_expected_gradient_is_zero(name: str) -> None:
    """Exact samples stay exact under Gibbs sampling: both sides have the same expectation."""
    encoder = small(name)
    method = built(NAME, encoder, steps=2)
    rows = torch.multinomial(densities.probabilities(encoder), 40_000, True, generator=Generator().manual_seed(0))
    own = densities.every_state(FEW)[rows]
    uniform = densities.every_state(FEW).repeat(2500, 1)
    assert gradient(method, contrast(method, own)).abs().max() < 0.02
    assert gradient(method, contrast(method, uniform)).abs().max() > 0.1  # so that 0 says something


def test_long_chains_give_the_gradient_of_the_likelihood() -> None:
    encoder = small("boltzmann")
    x = densities.every_state(FEW)[[1, 2, 2, 8]].repeat(2500, 1)
    exact = likelihood_gradient(encoder, x)
    apart = [float((gradient(m := built(NAME, encoder, steps=k), contrast(m, x)) - exact).norm()) for k in (1, 300)]
    assert apart[1] < 0.05 < apart[0]


@pytest.mark.parametrize("persistent", [False, True])
def test_a_constant_added_to_the_energy_changes_nothing(persistent: bool) -> None:
    x = densities.every_state(FEW)[:6]
    values = []
    for constant in (0.0, 2.0):
        method = built(NAME, shifted(small("rbm"), constant), persistent=persistent)
        value = contrast(method, x)
        values.append((float(value.detach()), gradient(method, value)))
    assert values[0][0] == pytest.approx(values[1][0], abs=1e-5)
    torch.testing.assert_close(values[0][1], values[1][1])


def test_samples_carry_no_gradient_and_the_same_seed_gives_the_same_ones() -> None:
    method = built(NAME, small("rbm"))
    x = densities.every_state(FEW)
    found = [method.loss(x, torch.tensor([seed]), index=x) for seed in (1, 1, 2)]
    assert not found[0].handed_over.requires_grad
    assert torch.equal(found[0].handed_over, found[1].handed_over)
    assert not torch.equal(found[0].handed_over, found[2].handed_over)
    assert found[0].chance is None
    assert method.chance is None


def test_particles_go_on_from_where_they_were_and_other_chains_start_at_the_batch() -> None:
    x = torch.zeros(5, FEW)
    for persistent in (True, False):
        encoder = small("rbm")
        method = built(NAME, encoder, persistent=persistent, particles=12)
        start = method.particles.now.clone() if persistent else x
        ended = method.loss(x, SEED, index=x).handed_over
        assert torch.equal(ended, gibbs(encoder, start, 1, Generator().manual_seed(7)))
        method.after_step(ended, 0.5)
        assert torch.equal(method.particles.now[: len(ended)], ended)


@pytest.mark.parametrize(
    ("sampler", "kind", "gibbs"),
    [("auto", "rbm", True), ("auto", "energy_net", False), ("langevin", "rbm", False), ("gibbs", "rbm", True)],
)
def test_the_sampler_suits_the_encoder_unless_it_is_named(sampler: str, kind: str, gibbs: bool) -> None:
    encoder = build_encoder(kind, visible=2, binary=False)
    method = built(NAME, encoder, sampler=sampler, steps=2, step=0.1)
    assert method.by_gibbs == gibbs
    x = densities.reals(8, 0)["vectors"]
    ended = method.sampled(x, Generator().manual_seed(0))
    assert ended.shape == x.shape
    assert not torch.equal(ended, x)
    assert bool(((ended - x).norm(dim=1) < 2).all()) or gibbs


def test_what_is_refused() -> None:
    assert_needs_an_energy(NAME)
    for settings, message in (
        ({"steps": 0}, "steps is 0"),
        ({"particles": 0}, "particles is 0"),
        ({"step": 0.0}, "step is 0.0"),
        ({"sampler": "slice"}, "sampler is 'slice'"),
        ({"sampler": "langevin"}, "sampler is 'langevin', which is for real numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            built(NAME, small("rbm"), **settings)
    with pytest.raises(DoesNotApply, match="no Gibbs sampler of real numbers"):
        built(NAME, build_encoder("energy_net", visible=2), sampler="gibbs")


def test_how_far_chains_have_moved() -> None:
    before = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    assert float(distance(before, torch.tensor([[1.0, 1.0], [1.0, 1.0]]), True)) == 0.25
    assert float(distance(before, before + torch.tensor([[3.0, 4.0], [0.0, 0.0]]), False)) == 2.5


class Kept(Silent):
    """Keeps the last checkpoint."""

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        self.kept = checkpoint

    def load(self) -> dict[str, Any] | None:
        return getattr(self, "kept", None)


def ring_method(**settings: Any) -> Any:
    torch.manual_seed(3)
    return built(NAME, build_encoder("rbm", visible=densities.UNITS, hidden=6), **settings)


def test_a_training_that_was_stopped_goes_on_with_the_same_bytes() -> None:
    """Particles and what was seen of them among them."""
    vectors = densities.binary(512, 0)["vectors"]
    how = Settings(epochs=3, batch_size=64, optimizer="adamw", learning_rate=0.05, warmup_epochs=0)
    whole = ring_method(persistent=True, particles=32)
    Training(whole, vectors, how, seed=1).run()
    stopped, kept = ring_method(persistent=True, particles=32), Kept()
    Training(stopped, vectors, how, seed=1, observer=kept, checkpoint_steps=1).run(stop_after=11)
    again = ring_method(persistent=True, particles=32)
    Training(again, vectors, how, seed=1, observer=kept, checkpoint_steps=1).run()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert int((whole.particles.shares > 0).sum()) == 8


@pytest.mark.parametrize("settings", [{"steps": 5}, {"persistent": True, "steps": 2}])
def test_it_learns_the_ring(settings: dict[str, Any]) -> None:
    """Within 0.15 nats of the truth, where an untrained machine is over half a nat away."""
    test = densities.binary(2048, 1)
    method = ring_method(**settings)
    before, after = (
        gap(method.encoder, test),
        gap(train(method, densities.binary(4096, 0)["vectors"], epochs=40, rate=0.05).encoder, test),
    )
    assert before > 0.5
    assert after < 0.15


def test_it_learns_the_four_gaussians_by_langevin_dynamics() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("energy_net", visible=2, width=32)
    test = densities.reals(1024, 1)
    before = gap(encoder, test)
    train(built(NAME, encoder, steps=5), densities.reals(2048, 0)["vectors"], epochs=25, rate=0.02)
    assert gap(encoder, test) < 0.5 * before


@torch.no_grad()
def gap(encoder: EnergyEncoder, test: dict[str, Tensor]) -> float:
    """Nats below the truth."""
    extent = None if encoder.binary else tuple(map(tuple, densities.EXTENT))
    found = (-encoder.energy(test["vectors"])).mean() - log_partition(encoder, extent)
    return float(test["log_density"].mean() - found)
