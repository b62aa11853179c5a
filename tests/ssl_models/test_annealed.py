"""Annealed importance sampling against log Z where that is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.encoders.rbm import RBM
from ssl_models.partition import log_partition
from ssl_models.samplers.annealed import STEPS, WIDER, Base, Estimate, _base, _estimate, _moved, annealed_log_partition
from tests.ssl_models.densities import DEVIATION, EXTENT, mixture_log_density

torch.set_num_threads(1)
RUNS = 300


def filled(model: EnergyEncoder, scale: float = 1.0) -> EnergyEncoder:
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_(0, scale)
    return model


def net(visible: int, binary: bool, scale: float) -> EnergyEncoder:
    torch.manual_seed(0)
    model = EnergyNet(visible=visible, binary=binary, width=16)
    with torch.no_grad():
        model.output.weight.mul_(scale)
    return model


class Mixture(EnergyEncoder):
    """The four Gaussians of densities.py, whose Z is exp(constant)."""

    name = "mixture"

    def __init__(self, constant: float = 0.0) -> None:
        super().__init__()
        self.visible, self.binary, self.dim, self.settings = 2, False, 1, {}
        self.register_parameter("constant", torch.nn.Parameter(torch.tensor(constant)))

    def standardise(self, *inputs: Tensor) -> Tensor:
        return inputs[0]

    def energy_of(self, x: Tensor) -> Tensor:
        return -mixture_log_density(x) - self.constant


def estimated(model: EnergyEncoder, seed: int = 0, **settings: int) -> Estimate:
    count = model.visible
    mean = [0.5] * count if model.binary else [0.0] * count
    generator = Generator().manual_seed(seed)
    return annealed_log_partition(model, mean, [1.0] * count, generator=generator, **settings)


MODELS = {
    "an rbm": (lambda: filled(RBM(visible=20, hidden=12)), None, 200),
    "an rbm of real numbers": (lambda: filled(RBM(visible=6, hidden=5, binary=False), 0.5), None, 200),
    "a boltzmann machine": (lambda: filled(Boltzmann(visible=12), 0.5), None, 200),
    "a network": (lambda: net(8, True, 5.0), None, 150),
    "a network of real numbers": (lambda: net(2, False, 3.0), ((-10.0, 10.0),) * 2, 150),
    "four peaks": (Mixture, ((-4.0, 4.0),) * 2, 150),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_exact_log_z_within_four_standard_errors(name: str) -> None:
    make, extent, temperatures = MODELS[name]
    model = make()
    exact = float(log_partition(model, extent).detach())
    found = estimated(model, chains=128, temperatures=temperatures)
    assert abs(found.value - exact) < 4 * found.error
    assert found.error < 0.12
    assert 128 / 3 < found.effective <= 128


def test_hidden_units_of_any_number_are_sampled() -> None:
    """The hidden units beyond those that log Z goes through have no weights: each adds log 2."""
    small, large = filled(RBM(visible=8, hidden=6)), RBM(visible=8, hidden=30)
    with torch.no_grad():
        large.weight.zero_()
        large.weight[:, :6], large.hidden_bias[:6] = small.weight, small.hidden_bias
        large.visible_bias.copy_(small.visible_bias)
    found = estimated(large, chains=128, temperatures=200)
    exact = float(small.log_partition().detach()) + 24 * math.log(2)
    assert abs(found.value - exact) < 4 * found.error
    assert large.log_partition() is None


def test_of_the_base_itself_it_is_exact() -> None:
    """Independent units with the data's means; a Gaussian of the deviation 1, where the data have 1 / WIDER."""
    means = torch.tensor([0.1, 0.5, 0.8])
    rbm, boltzmann, gaussian = RBM(visible=3, hidden=4), Boltzmann(visible=3), net(2, False, 0.0)
    with torch.no_grad():
        rbm.weight.zero_()
        rbm.visible_bias.copy_(means.logit())
        boltzmann.fields.copy_(means.logit() / 2)
    for model, mean, deviation, exact in (
        (rbm, means, None, 4 * math.log(2) + float((1 + means.logit().exp()).log().sum())),
        (boltzmann, means, None, float((2 * (means.logit() / 2).cosh()).log().sum())),
        (gaussian, [0.0, 0.0], [1 / WIDER, 1 / WIDER], math.log(2 * math.pi)),
    ):
        found = annealed_log_partition(
            model, mean, deviation, chains=16, temperatures=5, generator=Generator().manual_seed(0)
        )
        assert found.value == pytest.approx(exact, abs=1e-5)
        assert found.error < 1e-5
        assert found.effective == pytest.approx(16, rel=1e-5)


def test_one_temperature_is_plain_importance_sampling() -> None:
    model, generator = filled(Boltzmann(visible=3), 0.5), Generator().manual_seed(0)
    x = (torch.rand(50, 3, generator=generator) < 0.5).float()
    weights = (-model.energy(x)).double().exp() * 8  # the base draws each of 8 states with 1 / 8
    found = estimated(model, chains=50, temperatures=1)
    assert found.value == pytest.approx(float(weights.mean().log().detach()), abs=1e-5)
    assert found.error == pytest.approx(float((weights.std() / weights.mean()).detach()) / math.sqrt(50), rel=1e-4)


@pytest.mark.parametrize("name", ["rbm", "boltzmann", "peaks"])
def test_the_mean_weight_is_unbiased_and_the_value_too_low_on_average(name: str) -> None:
    """Few chains and few temperatures, often: the mean of exp(value) is Z, and that of the values below log Z."""
    model = {
        "rbm": lambda: filled(RBM(visible=4, hidden=3), 1.5),
        "boltzmann": lambda: filled(Boltzmann(visible=4)),
        "peaks": lambda: Mixture(1.0),
    }[name]()
    exact = 1.0 if name == "peaks" else float(log_partition(model).detach())
    runs = [estimated(model, seed, chains=2, temperatures=2).value for seed in range(RUNS)]
    values = torch.tensor(runs).double() - exact
    ratio = values.exp()
    assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(RUNS)
    assert float(values.mean()) < -2 * float(values.std()) / math.sqrt(RUNS)


def test_the_error_is_how_far_runs_are_apart() -> None:
    model = filled(RBM(visible=6, hidden=4))
    runs = [estimated(model, seed, chains=64, temperatures=20) for seed in range(60)]
    apart = float(torch.tensor([run.value for run in runs]).std())
    told = float(torch.tensor([run.error for run in runs]).mean())
    assert 0.7 < apart / told < 1.4


def test_more_temperatures_make_the_weights_more_equal() -> None:
    model = filled(RBM(visible=10, hidden=6))
    few, many = (estimated(model, chains=128, temperatures=count) for count in (10, 300))
    assert many.effective > 1.5 * few.effective
    assert many.error < few.error / 1.5


def test_a_constant_added_to_the_energy_shifts_it() -> None:
    plain, more = (estimated(Mixture(constant), chains=8, temperatures=20) for constant in (0.0, 1.5))
    assert more.value - plain.value == pytest.approx(1.5, abs=1e-4)
    assert more.error == pytest.approx(plain.error, rel=1e-3)


def test_the_same_seed_gives_the_same_number_and_another_one_another() -> None:
    model = filled(RBM(visible=6, hidden=4))
    first, again, other = (estimated(model, seed, chains=8, temperatures=10) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert all(weights.grad is None and weights.requires_grad for weights in model.parameters())


def test_estimate_of_weights_by_hand() -> None:
    """Weights 1, 1, 4: mean 2, deviation sqrt(3), so the error sqrt(3) / sqrt(3) / 2; effective 36 / 18."""
    found = _estimate(torch.tensor([1.0, 1.0, 4.0]).double().log())
    assert (found.value, found.error, found.effective) == pytest.approx((math.log(2), 0.5, 2.0))


# ---- the base and the steps


def test_the_base_has_the_means_of_the_data_and_never_all_of_its_draws_equal() -> None:
    model = Boltzmann(visible=3)
    base = _base(model, [0.0, 0.3, 1.0], None)
    drawn = base.draw(40000, Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([0.01, 0.3, 0.99]), rtol=0, atol=0.009)
    torch.testing.assert_close(base.slope.sigmoid(), torch.tensor([0.01, 0.3, 0.99]))
    states = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)
    assert base.log_partition() == pytest.approx(float((-base.energy(states)).logsumexp(0)), rel=1e-5)


def test_the_base_of_real_numbers_is_wider_than_the_data_and_its_z_that_of_quadrature() -> None:
    base = _base(net(2, False, 1.0), torch.tensor([1.0, -2.0]), torch.tensor([0.5, 0.0]))
    drawn = base.draw(40000, Generator().manual_seed(0))
    torch.testing.assert_close(drawn.mean(0), torch.tensor([1.0, -2.0]), rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std(0), torch.tensor([0.5 * WIDER, WIDER]), rtol=0.03, atol=0)
    axis = torch.linspace(-10, 10, 1001)
    total = (-base.energy(torch.cartesian_prod(axis, axis))).logsumexp(0) + 2 * math.log(0.02)
    assert base.log_partition() == pytest.approx(float(total), abs=1e-3)


@pytest.mark.parametrize("beta", [0.05, 0.5, 0.95])
def test_at_every_temperature_chains_of_narrow_peaks_move(beta: float) -> None:
    """Peaks of the deviation 0.3, a base of 1.25: at least one of the STEPS moves most chains, each time."""
    model, generator = Mixture(), Generator().manual_seed(0)
    base = _base(model, [0.0, 0.0], [math.sqrt(1 + DEVIATION**2)] * 2)
    x = base.draw(500, generator)
    for _ in range(20):
        before, x = x, _moved(model, base, x, beta, generator)
    assert len(STEPS) == 3
    assert float((x != before).any(1).float().mean()) > 0.8


def test_a_step_keeps_the_distribution_between() -> None:
    """Of the base and the peaks at beta = 0.5: moments before and after, from draws on a fine grid."""
    model, generator = Mixture(), Generator().manual_seed(0)
    base = _base(model, [0.2, 0.0], [1.0, 0.7])
    axis = torch.linspace(EXTENT[0][0], EXTENT[0][1], 401)
    x = torch.cartesian_prod(axis, axis)
    shares = (-0.5 * base.energy(x) - model.tempered(x, 0.5).detach()).softmax(0)
    drawn = x[torch.multinomial(shares, 20000, replacement=True, generator=generator)]
    for _ in range(5):
        drawn = _moved(model, base, drawn, 0.5, generator)
    mean, square = shares @ x, shares @ x.square()
    assert ((drawn.mean(0) - mean).abs() < 4 * (square - mean**2).sqrt() / math.sqrt(20000)).all()
    assert ((drawn.square().mean(0) - square).abs() < 4 * (shares @ x**4 - square**2).sqrt() / math.sqrt(20000)).all()


def test_what_is_left_of_the_base_fades() -> None:
    between = Base(torch.tensor([2.0]), torch.tensor([4.0]), False).between(0.25)
    assert (between.beta, between.slope.item(), between.curvature.item()) == (0.25, 1.5, 3.0)


@pytest.mark.parametrize(
    ("mean", "deviation", "settings", "words"),
    [
        ([0.0, 0.0], [1.0, 1.0], {"chains": 1}, "chains is 1; it must be at least 2"),
        ([0.0, 0.0], [1.0, 1.0], {"temperatures": 0}, "temperatures is 0; it must be greater than 0"),
        ([0.0], [1.0, 1.0], {}, r"mean has the shape \(1,\); the encoder reads 2 numbers"),
        ([0.0, 0.0], [[1.0, 1.0]], {}, r"deviation has the shape \(1, 2\)"),
        ([0.0, math.nan], [1.0, 1.0], {}, "mean has numbers that are not finite"),
        ([0.0, 0.0], [1.0, math.inf], {}, "deviation has numbers that are not finite"),
        ([0.0, 0.0], [1.0, -0.5], {}, r"deviation has -0\.5; none may be below 0"),
        ([0.0, 0.0], None, {}, "deviation is missing"),
    ],
)
def test_bad_settings_are_refused(mean, deviation, settings, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        annealed_log_partition(Mixture(), mean, deviation, generator=Generator(), **settings)
