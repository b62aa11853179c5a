"""The restricted Boltzmann machine: its energy, its conditionals and its log Z, by hand and by going through states."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.energy import Between, EnergyEncoder
from ssl_models.encoders.rbm import RBM
from ssl_models.encoders.states import MOST
from ssl_models.errors import DoesNotApply, NeedsParts
from ssl_models.partition import grid
from tests.ssl_models.densities import every_state, probabilities

torch.set_num_threads(1)


def filled(visible: int, hidden: int, binary: bool = True, seed: int = 0) -> RBM:
    """With weights and biases of size 1, and the deviation 0.7 of real units."""
    torch.manual_seed(seed)
    model = RBM(visible=visible, hidden=hidden, binary=binary)
    with torch.no_grad():
        for weights in (model.weight, model.visible_bias, model.hidden_bias):
            weights.normal_()
        if model.log_deviation is not None:
            model.log_deviation.fill_(math.log(0.7))
    return model


def two_by_two() -> RBM:
    model = RBM(visible=2, hidden=2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 3.0]]))
        model.visible_bias.copy_(torch.tensor([0.25, -0.5]))
        model.hidden_bias.copy_(torch.tensor([-1.0, 0.75]))
    return model


def test_the_energy_of_two_by_two_units_by_hand() -> None:
    """v = (1, 1): b'v = -0.25; the hidden units are pulled by -1 + 1 + 0.5 = 0.5 and 0.75 - 2 + 3 = 1.75."""
    both = 1 + math.exp(0.5) + math.exp(1.75) + math.exp(0.5 + 1.75)  # over the four states of the hidden units
    neither = (1 + math.exp(-1.0)) * (1 + math.exp(0.75))
    found = two_by_two().energy(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    assert found.tolist() == pytest.approx([0.25 - math.log(both), -math.log(neither)], rel=1e-6)


def test_log_z_of_two_by_two_units_is_over_all_sixteen_states() -> None:
    model, total = two_by_two(), 0.0
    for v in every_state(2):
        for h in every_state(2):
            pulled = v @ model.weight @ h + v @ model.visible_bias + h @ model.hidden_bias
            total += math.exp(float(pulled.detach()))
    assert float(model.log_partition().detach()) == pytest.approx(math.log(total), rel=1e-6)


@pytest.mark.parametrize(("visible", "hidden"), [(7, 3), (3, 7), (1, 1)])
def test_log_z_by_hidden_states_is_that_by_visible_ones(visible: int, hidden: int) -> None:
    model = filled(visible, hidden)
    expected = (-model.energy(every_state(visible)).double()).logsumexp(0)
    torch.testing.assert_close(model.log_partition().double(), expected, rtol=1e-6, atol=1e-5)


def test_log_z_is_not_computed_of_too_many_hidden_units() -> None:
    assert RBM(visible=2, hidden=MOST + 1).log_partition() is None


def test_flips_are_differences_of_energies() -> None:
    model, x = filled(6, 4), every_state(6)
    torch.testing.assert_close(model.flips(x), EnergyEncoder.flips_of(model, x), rtol=1e-4, atol=1e-5)
    turned = x.clone()
    turned[:, 2] = 1 - turned[:, 2]
    torch.testing.assert_close(model.flips(x)[:, 2], model.energy(turned) - model.energy(x), rtol=1e-4, atol=1e-5)


def test_real_numbers_are_not_flipped() -> None:
    with pytest.raises(DoesNotApply, match="flipping numbers is for vectors of 0 and 1"):
        filled(3, 2, binary=False).flips(torch.zeros(1, 3))


# ---- block Gibbs sampling


def transition(model: RBM, between: Between | None = None) -> Tensor:
    """P (V, V): from each visible state to each other, by the conditionals over all hidden states; float64."""
    beta, slope = (1.0, torch.zeros(model.visible)) if between is None else (between.beta, between.slope)
    v, h = every_state(model.visible).double(), every_state(model.dim).double()
    weight, b, c = (part.detach().double() for part in (model.weight, model.visible_bias, model.hidden_bias))

    def chances(logits: Tensor, to: Tensor) -> Tensor:
        return torch.where(to.bool(), logits.unsqueeze(1).sigmoid(), (-logits).unsqueeze(1).sigmoid()).prod(2)

    return chances(beta * (v @ weight + c), h) @ chances(beta * (h @ weight.T + b) + slope.double(), v)


def test_the_transition_by_both_conditionals_leaves_the_distribution_as_it_is() -> None:
    model = filled(4, 3)
    shares = probabilities(model).double()
    torch.testing.assert_close(transition(model).sum(1), torch.ones(16).double())
    torch.testing.assert_close(shares @ transition(model), shares, rtol=0, atol=1e-6)


def test_between_two_distributions_it_leaves_what_tempered_tells_as_it_is() -> None:
    model, x = filled(4, 3), every_state(4)
    between = Between(0.3, torch.tensor([1.0, -1.0, 0.5, 0.0]), torch.zeros(4))
    shares = (-model.tempered(x, 0.3) + x @ between.slope).double().softmax(0).detach()
    torch.testing.assert_close(shares @ transition(model, between), shares, rtol=0, atol=1e-6)


def chi_square(counts: Tensor, expected: Tensor) -> float:
    """In standard deviations above its mean, for as many degrees of freedom as there are states but one."""
    free = len(counts) - 1
    return (float(((counts - expected).square() / expected).sum()) - free) / math.sqrt(2 * free)


@pytest.mark.parametrize("between", [None, Between(0.4, torch.tensor([1.0, -1.0, 0.5, 0.0]), torch.zeros(4))])
def test_a_step_moves_as_the_transition_says(between: Between | None) -> None:
    """From each state 4000 chains; counts of where they are after a step, against the exact ones."""
    model, each = filled(4, 3), 4000
    start = every_state(4).repeat_interleave(each, 0)
    after = model.resampled(start, Generator().manual_seed(0), between)
    to = (after @ torch.tensor([1.0, 2.0, 4.0, 8.0])).long().view(16, each)
    exact = transition(model, between) * each
    for row in range(16):
        seen = torch.bincount(to[row], minlength=16).double()
        often = exact[row] >= 5
        counts, expected = (
            torch.cat([part[often], part[~often].sum(0, keepdim=True) + 1e-9]) for part in (seen, exact[row])
        )
        assert chi_square(counts, expected) < 4


def test_exact_draws_stay_exact() -> None:
    model = filled(4, 3)
    shares = probabilities(model)
    rows = torch.multinomial(shares, 20000, replacement=True, generator=Generator().manual_seed(0))
    after = model.resampled(every_state(4)[rows], Generator().manual_seed(1))
    seen = torch.bincount((after @ torch.tensor([1.0, 2.0, 4.0, 8.0])).long(), minlength=16)
    assert chi_square(seen, 20000 * shares) < 4


# ---- real visible units


def test_real_units_by_hand() -> None:
    """|v - b|^2 / (2 s^2) = (0.25 + 1) / 0.98; hidden units are pulled by c + v'W / s."""
    model = two_by_two()
    real = RBM(visible=2, hidden=2, binary=False)
    with torch.no_grad():
        for own, given in ((real.weight, model.weight), (real.hidden_bias, model.hidden_bias)):
            own.copy_(given)
        real.visible_bias.copy_(torch.tensor([0.5, -1.0]))
        real.log_deviation.fill_(math.log(0.7))
    first, second = -1 + 1 / 0.7, 0.75 - 2 / 0.7
    expected = 1.25 / 0.98 - math.log((1 + math.exp(first)) * (1 + math.exp(second)))
    assert float(real.energy(torch.tensor([[1.0, 0.0]])).detach()) == pytest.approx(expected, rel=1e-5)


def test_log_z_of_real_units_is_that_of_quadrature() -> None:
    model = filled(2, 4, binary=False)
    x, log_cell = grid(((-12.0, 12.0), (-12.0, 12.0)), 400)
    expected = (-model.energy(x)).logsumexp(0) + log_cell
    assert float(model.log_partition().detach()) == pytest.approx(float(expected.detach()), abs=1e-4)


def test_real_units_are_drawn_about_b_and_what_hidden_units_pull() -> None:
    """All hidden units are on, or all off: v is of b + s W h with the deviation s."""
    model, count = filled(3, 2, binary=False), 40000
    for on in (True, False):
        with torch.no_grad():
            model.hidden_bias.fill_(50.0 if on else -50.0)
        drawn = model.resampled(torch.zeros(count, 3), Generator().manual_seed(0))
        mean = model.visible_bias + 0.7 * model.weight.sum(1) * on
        torch.testing.assert_close(drawn.mean(0), mean.detach(), rtol=0, atol=4 * 0.7 / math.sqrt(count))
        torch.testing.assert_close(drawn.std(0), torch.full((3,), 0.7), rtol=0, atol=4 * 0.7 / math.sqrt(2 * count))


def test_between_two_distributions_precisions_of_real_units_add_up() -> None:
    """At beta = 0.5 with s = 0.7 and hidden units off: precision 0.5 / 0.49 + 2, mean (0.5 b / 0.49 + 1) over it."""
    model, count = filled(2, 2, binary=False), 40000
    with torch.no_grad():
        model.hidden_bias.fill_(-100.0)
        model.visible_bias.fill_(3.0)
    between = Between(0.5, torch.ones(2), torch.full((2,), 2.0))
    drawn = model.resampled(torch.zeros(count, 2), Generator().manual_seed(0), between)
    precision = 0.5 / 0.49 + 2
    assert drawn.mean(0).tolist() == pytest.approx([(1.5 / 0.49 + 1) / precision] * 2, abs=0.012)
    assert drawn.std(0).tolist() == pytest.approx([precision**-0.5] * 2, abs=0.01)


def test_block_gibbs_sampling_of_real_units_keeps_the_moments_of_quadrature() -> None:
    model = filled(2, 3, binary=False)
    x, _ = grid(((-8.0, 8.0), (-8.0, 8.0)), 160)
    shares = (-model.energy(x)).softmax(0).detach()
    rows = torch.multinomial(shares, 40000, replacement=True, generator=Generator().manual_seed(0))
    drawn, generator = x[rows], Generator().manual_seed(1)
    for _ in range(3):
        drawn = model.resampled(drawn, generator)
    mean = shares @ x
    spread = (shares @ (x - mean).square()).sqrt()
    assert ((drawn.mean(0) - mean).abs() < 4 * spread / 200).all()
    torch.testing.assert_close(drawn.T.cov(), (shares * (x - mean).T) @ (x - mean), rtol=0.04, atol=0.02)


# ---- the encoder


@pytest.mark.parametrize("binary", [True, False])
def test_the_hidden_layer_holds_the_conditional_probabilities(binary: bool) -> None:
    """P(h_1 = 1 | v) by the joint energies of v with h_1 = 1 and with 0: they differ by the pull of that unit alone."""
    model, x = filled(3, 2, binary), torch.tensor([[1.0, 0.0, 1.0]])
    scale = 1 if binary else 0.7
    joint = torch.stack([x[0] @ model.weight @ h / scale + h @ model.hidden_bias for h in every_state(2)])
    shares = joint.softmax(0)
    torch.testing.assert_close(model(x), (shares @ every_state(2)).unsqueeze(0))
    torch.testing.assert_close(model.layers(x)["hidden"], model(x))


@pytest.mark.parametrize("binary", [True, False])
def test_it_is_made_for_the_data_and_again_by_its_settings(binary: bool) -> None:
    spec = DataSpec(8, {"vectors": (5,)}, known={"binary": binary})
    model = RBM.from_data(spec, hidden=3)
    assert model.settings == {"visible": 5, "binary": binary, "hidden": 3}
    again = build_encoder("rbm", **model.settings)
    again.load_state_dict(model.state_dict())
    x = every_state(5)
    assert torch.equal(again.energy(x), model.energy(x))
    assert model.dim == model(x).shape[1] == 3


def test_bad_settings_and_other_data_are_refused() -> None:
    for settings in ({"visible": 0}, {"visible": 3, "hidden": 0}):
        with pytest.raises(ValueError, match="is 0; it must be greater than 0"):
            RBM(**settings)
    with pytest.raises(NeedsParts, match="the encoder 'rbm' reads vectors, and these samples have tokens"):
        RBM.from_data(DataSpec(8, {"tokens": (5,)}))


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_tempered_is_the_energy_at_one_and_minus_h_log_two_at_nought(beta: float) -> None:
    model, x = filled(5, 3), every_state(5)
    expected = model.energy(x) if beta else torch.full((32,), -3 * math.log(2))
    torch.testing.assert_close(model.tempered(x, beta), expected)
