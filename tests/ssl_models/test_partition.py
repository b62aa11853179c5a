"""log Z by going through states and by quadrature, and what is said where it cannot be computed."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.encoders.rbm import RBM
from ssl_models.encoders.states import AT_ONCE, MOST, log_sum, states
from ssl_models.errors import DoesNotApply
from ssl_models.partition import Extent, computable, extent_of, grid, log_partition
from tests.ssl_models.densities import every_state, ring

torch.set_num_threads(1)


class Bowl(EnergyEncoder):
    """E(x) = sum_i (x_i - m_i)^2 / (2 s_i^2) + constant."""

    name = "bowl"

    def __init__(self, mean: list[float], deviation: list[float], constant: float = 0.0) -> None:
        super().__init__()
        self.visible, self.binary, self.dim, self.settings = len(mean), False, MOST + 1, {}
        self.mean, self.deviation = nn.Parameter(torch.tensor(mean)), torch.tensor(deviation)
        self.constant = constant

    def standardise(self, *inputs: Tensor) -> Tensor:
        return inputs[0]

    def energy_of(self, x: Tensor) -> Tensor:
        return ((x - self.mean) / self.deviation).square().sum(1) / 2 + self.constant


class Shifted(EnergyNet):
    """A constant more than the network."""

    def energy_of(self, x: Tensor) -> Tensor:
        return super().energy_of(x) + 2.5


def filled(model: EnergyEncoder) -> EnergyEncoder:
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in model.parameters():
            weights.normal_()
    return model


# ---- states


def test_all_states_come_once_the_first_unit_fastest() -> None:
    assert every_state(2).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    assert {tuple(row) for row in every_state(5).tolist()} == set(product((0.0, 1.0), repeat=5))


def test_many_states_come_in_pieces() -> None:
    found = list(states(17))
    assert [len(piece) for piece in found] == [AT_ONCE, AT_ONCE]
    assert found[1][5].tolist() == [1, 0, 1, *[0] * 13, 1]
    # Independent units: the sum over states is a product over units.
    fields = torch.linspace(-1, 1, 17)
    assert float(log_sum(17, lambda x: x @ fields)) == pytest.approx(float((1 + fields.exp()).log().sum()), rel=1e-6)


def test_too_many_states_are_refused() -> None:
    with pytest.raises(ValueError, match=r"there are 2\^21 states; all are gone through for at most 20 units"):
        next(states(21))


# ---- values


@pytest.mark.parametrize("model", [ring(), EnergyNet(visible=6, binary=True, width=8), RBM(visible=5, hidden=4)])
def test_going_through_states_is_the_plain_sum(model: EnergyEncoder) -> None:
    total = sum(
        math.exp(-float(model.energy(torch.tensor([row])).detach()))
        for row in product((0.0, 1.0), repeat=model.visible)
    )
    assert float(log_partition(model).detach()) == pytest.approx(math.log(total), rel=1e-5)


@pytest.mark.parametrize(("mean", "deviation"), [([0.5], [0.7]), ([0.3, -1.0], [0.5, 1.5])])
def test_quadrature_of_a_gaussian_is_its_closed_form(mean: list[float], deviation: list[float]) -> None:
    extent = tuple((m - 9 * s, m + 9 * s) for m, s in zip(mean, deviation, strict=True))
    expected = sum(math.log(s * math.sqrt(2 * math.pi)) for s in deviation)
    assert float(log_partition(Bowl(mean, deviation), extent).detach()) == pytest.approx(expected, abs=2e-5)


def test_a_constant_added_to_the_energy_moves_log_z_by_its_negative() -> None:
    extent = ((-8.0, 8.0),)
    plain, more = (log_partition(Bowl([0.0], [1.0], c), extent).detach() for c in (0.0, 1.5))
    assert float(plain - more) == pytest.approx(1.5, abs=1e-5)
    first, second = (filled(made(visible=4, binary=True, width=3)) for made in (EnergyNet, Shifted))
    assert float((log_partition(first) - log_partition(second)).detach()) == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("model", [Boltzmann(visible=5), RBM(visible=5, hidden=3), EnergyNet(visible=5, binary=True)])
def test_its_gradient_is_the_mean_of_that_of_the_energy_under_the_model(model: EnergyEncoder) -> None:
    """d log Z / d theta = -E_model[dE / d theta]."""
    weights, x = list(filled(model).parameters()), every_state(5)
    found = torch.autograd.grad(log_partition(model), weights)
    energy = model.energy(x)
    shares = (-energy).softmax(0).detach()
    expected = torch.autograd.grad(-(shares * energy).sum(), weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_the_gradient_of_quadrature_is_that_of_the_model() -> None:
    """A Gaussian's log Z does not depend on its mean."""
    model = Bowl([0.5], [1.0])
    log_partition(model, ((-8.0, 9.0),)).backward()
    assert float(model.mean.grad) == pytest.approx(0, abs=1e-5)


def test_the_grid_holds_the_middles_of_cells_the_last_number_fastest() -> None:
    x, log_cell = grid(((0.0, 1.0), (10.0, 14.0)), 2)
    assert x.tolist() == [[0.25, 11.0], [0.25, 13.0], [0.75, 11.0], [0.75, 13.0]]
    assert log_cell == pytest.approx(math.log(0.5 * 2.0))
    line, log_step = grid(((0.0, 1.0),), 4)
    assert line.tolist() == [[0.125], [0.375], [0.625], [0.875]]
    assert log_step == pytest.approx(math.log(0.25))


def test_points_that_are_shifted_in_their_cells_integrate_as_well() -> None:
    x, _ = grid(((0.0, 1.0), (10.0, 14.0)), 2, shift=torch.tensor([0.0, 0.75]))
    assert x.tolist() == [[0.0, 11.5], [0.0, 13.5], [0.5, 11.5], [0.5, 13.5]]
    model = Bowl([0.3, -1.0], [0.5, 1.5])
    shift = torch.tensor([0.1, 0.9])
    found = log_partition(model, ((-8.0, 8.0), (-14.0, 14.0)), 128, shift)
    assert float(found.detach()) == pytest.approx(math.log(0.75 * 2 * math.pi), abs=2e-5)


# ---- what cannot be done


BOX2: Extent = ((-6.0, 6.0), (-6.0, 6.0))


@pytest.mark.parametrize("extent", [None, BOX2[:1], BOX2, (*BOX2, (-6.0, 6.0))])
@pytest.mark.parametrize("visible", [1, 2, 3, MOST + 1])
@pytest.mark.parametrize("kind", ["boltzmann", "rbm", "large rbm", "net", "real rbm", "large real rbm", "real net"])
def test_what_is_said_is_what_is_done(kind: str, visible: int, extent: Extent | None) -> None:
    binary, hidden = "real" not in kind, MOST + 1 if "large" in kind else 3
    if "rbm" in kind:
        model: EnergyEncoder = RBM(visible=visible, binary=binary, hidden=hidden)
    else:
        model = Boltzmann(visible=visible) if kind == "boltzmann" else EnergyNet(visible=visible, binary=binary)
    said = computable(model, extent)
    if said:
        assert bool(log_partition(model, extent, 16).isfinite())
    else:
        with pytest.raises(DoesNotApply, match=r"is a sum over 2\^\d+ states; at most|real numbers: quadrature takes"):
            log_partition(model, extent, 16)
    in_box = extent is not None and len(extent) == visible <= 2
    expected = {
        "boltzmann": f"a sum over the states of {visible} units" if visible <= MOST else "",
        "rbm": "a sum over the states of 3 hidden units",
        "real rbm": "a sum over the states of 3 hidden units",
        "large real rbm": "quadrature" if in_box else "",
        "real net": "quadrature" if in_box else "",
    }
    assert said == expected.get(kind, expected["boltzmann"])


def test_bad_grids_are_refused() -> None:
    with pytest.raises(ValueError, match="points = 0 must be at least 1"):
        grid(BOX2, 0)
    for interval in ((1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(ValueError, match="is no interval to integrate over"):
            log_partition(EnergyNet(visible=1), (interval,))


def test_the_extent_is_read_where_it_is_known() -> None:
    assert extent_of({"extent": [[-4, 4.0], [0, 1]]}) == ((-4.0, 4.0), (0.0, 1.0))
    assert extent_of({}) is None
