"""Contrastive divergence: its gradient by hand and in expectation, its chains, and what is kept of them."""

from __future__ import annotations

import math
from collections.abc import Callable
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
from ssl_models.samplers.gibbs import gibbs
from ssl_models.trainer import Settings, Training
from tests.ssl_models import densities
from tests.ssl_models.energy_methods import FEW, assert_needs_an_energy, built, shifted, small

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


def naive_probability(encoder: Any, given: list[float], unit: int, hidden: bool) -> float:
    """Of a unit being 1, given all units of the other kind."""
    weight, bias = encoder.weight.tolist(), (encoder.hidden_bias if hidden else encoder.visible_bias).tolist()
    pulls = [(weight[i][unit] if hidden else weight[unit][i]) * value for i, value in enumerate(given)]
    return 1 / (1 + math.exp(-bias[unit] - sum(pulls)))


def naive_layer(encoder: Any, given: list[list[float]], hidden: bool, generator: Generator) -> list[list[float]]:
    """A draw of every unit of a layer, for each row."""
    draws = torch.rand(len(given), len(encoder.hidden_bias if hidden else encoder.visible_bias), generator=generator)
    return [
        [float(draw < naive_probability(encoder, row, unit, hidden)) for unit, draw in enumerate(some)]
        for row, some in zip(given, draws.tolist(), strict=True)
    ]


def test_the_gradient_of_a_machine_of_two_by_two_units_is_that_of_naive_loops() -> None:
    """dE/dW_ij = -v_i P(h_j = 1 | v), dE/db_i = -v_i, dE/dc_j = -P(h_j = 1 | v); the data's mean less the samples'."""
    encoder: Any = build_encoder("rbm", visible=2, hidden=2)
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[0.9, -1.3], [0.4, 0.7]]))
        encoder.visible_bias.copy_(torch.tensor([0.3, -0.6]))
        encoder.hidden_bias.copy_(torch.tensor([-0.2, 0.5]))
    x = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 1.0]]
    rows, generator = x, Generator().manual_seed(7)
    for _ in range(3):
        rows = naive_layer(encoder, naive_layer(encoder, rows, True, generator), False, generator)

    def mean(batch: list[list[float]], of: Callable[[list[float]], float]) -> float:
        return sum(map(of, batch)) / len(batch)

    def slope(of: Callable[[list[float]], float]) -> float:
        return mean(rows, of) - mean(x, of)

    method = built(NAME, encoder, {"binary": True}, steps=3)
    assert method.loss(torch.tensor(x), SEED, index=torch.arange(6)).handed_over.tolist() == rows
    assert rows != x
    on = [lambda v, j=j: naive_probability(encoder, v, j, True) for j in range(2)]
    expected = [
        *(slope(lambda v, i=i, j=j: v[i] * on[j](v)) for i in range(2) for j in range(2)),
        *(slope(lambda v, i=i: v[i]) for i in range(2)),
        *(slope(on[j]) for j in range(2)),
    ]
    assert gradient(method, contrast(method, torch.tensor(x))).tolist() == pytest.approx(expected, abs=1e-6)


def transitions(encoder: Any) -> Tensor:
    """(2^D, 2^D): the probability that block Gibbs sampling goes from a state to another, by all hidden states."""
    visible, hidden = densities.every_state(encoder.visible), densities.every_state(encoder.dim)

    def chances(of: Tensor, logits: Tensor) -> Tensor:
        on = logits.sigmoid().unsqueeze(1)
        return torch.where(of.bool(), on, 1 - on).prod(2)

    down = chances(visible, hidden @ encoder.weight.T + encoder.visible_bias)
    return chances(hidden, visible @ encoder.weight + encoder.hidden_bias) @ down


def test_the_expected_gradient_is_that_of_the_exact_transitions_and_zero_on_the_model_s_own_distribution() -> None:
    """No number of a gradient spreads by more than 1/2 a row: 5 standard errors of 64,000 rows are 0.01."""
    encoder = small("rbm")
    method, states = built(NAME, encoder, steps=2), densities.every_state(FEW)
    with torch.no_grad():
        twice = transitions(encoder) @ transitions(encoder)

    def exact(shares: Tensor) -> Tensor:
        return gradient(method, ((shares - shares @ twice) * encoder.energy(states)).sum())

    own, uniform = densities.probabilities(encoder), torch.full((2**FEW,), 2.0**-FEW)
    assert exact(own).abs().max() < 1e-6
    assert exact(uniform).abs().max() > 0.05
    found = gradient(method, contrast(method, states.repeat(4000, 1)))
    torch.testing.assert_close(found, exact(uniform), atol=0.01, rtol=0)


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


@pytest.mark.parametrize(("name", "visible", "binary"), [("rbm", 4, True), ("energy_net", 2, False)])
def test_autocast_rounds_neither_chains_nor_energies(name: str, visible: int, binary: bool) -> None:
    torch.manual_seed(0)
    method = built(NAME, build_encoder(name, visible=visible, binary=binary), steps=3)
    x = densities.every_state(visible) if binary else densities.reals(16, 0)["vectors"]
    exact = contrast(method, x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = contrast(method, x)
    assert torch.equal(exact, rounded)
    assert torch.equal(gradient(method, exact), gradient(method, rounded))


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
    ended, told = method.sampled(x, Generator().manual_seed(0))
    assert list(told) == ([] if gibbs else ["accepted"])
    assert set(told) < set(method.loss(x, SEED, index=x).terms)
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
