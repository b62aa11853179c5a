"""The network that gives an energy: its tails, its derivatives, and its precision."""

from __future__ import annotations

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.boltzmann import Boltzmann
from ssl_models.encoders.energy import EnergyEncoder, require_binary, require_real, with_energy
from ssl_models.encoders.energy_net import EnergyNet
from ssl_models.encoders.rbm import RBM
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import DoesNotApply
from ssl_models.partition import log_partition
from tests.ssl_models.densities import every_state

torch.set_num_threads(1)


def network(visible: int = 2, binary: bool = False, **settings: int) -> EnergyNet:
    torch.manual_seed(0)
    return EnergyNet(visible=visible, binary=binary, **({"width": 16} | settings))


def test_one_layer_by_hand() -> None:
    """f(x) = 3 silu(2 x + 1); silu(a) = a sigmoid(a); |x|^2 / 2 beside it where x is real."""
    one, minus_one = 9 * 0.9525741, -3 * 0.2689414
    for binary, given, expected in ((False, 1.0, 0.5 + one), (True, 1.0, one), (True, 0.0, minus_one)):
        model = EnergyNet(visible=1, binary=binary, width=1, depth=1)
        with torch.no_grad():
            model.hidden[0].weight.fill_(2.0)
            model.hidden[0].bias.fill_(1.0)
            model.output.weight.fill_(3.0)
        assert model.energy(torch.tensor([[given]])).tolist() == pytest.approx([expected], rel=1e-5)


def test_far_away_it_is_gaussian() -> None:
    """f grows linearly, so that E / (|x|^2 / 2) tends to 1, as 1 / |x|."""
    model, direction = network(), torch.tensor([[0.6, -0.8]])
    ratio = [float(model.energy(far * direction).detach()) / (far**2 / 2) for far in (1e2, 1e3, 1e4)]
    apart = [abs(each - 1) for each in ratio]
    assert apart[2] < 1e-3
    assert apart[0] > 5 * apart[1] > 25 * apart[2]


def test_z_is_finite_and_does_not_depend_on_how_far_it_is_integrated() -> None:
    model = network()
    near, far = (float(log_partition(model, ((-e, e), (-e, e)), 300).detach()) for e in (15.0, 30.0))
    assert near == pytest.approx(far, abs=1e-3)


def test_second_derivatives_are_those_of_differences() -> None:
    model = network().double()
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(model.energy_of(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope[0, 0], x)
    move = torch.tensor([[1e-4, 0.0]], dtype=torch.float64)
    ahead, here, behind = (model.energy_of(x.detach() + at * move) for at in (1, 0, -1))
    assert float(second[0, 0]) == pytest.approx(float((ahead - 2 * here + behind).detach()) / 1e-8, rel=1e-4)


def test_nought_and_one_are_given_as_minus_one_and_one() -> None:
    model = network(3, binary=True)
    assert model.standardise(torch.tensor([[0.0, 1.0, 0.0]])).tolist() == [[-1.0, 1.0, -1.0]]
    assert network().standardise(torch.tensor([[0.0, 1.0]])).tolist() == [[0.0, 1.0]]


def test_a_sweep_of_the_general_gibbs_sampler_leaves_it_as_it_is() -> None:
    model = network(3, binary=True)
    with torch.no_grad():
        model.output.weight.mul_(4)
    shares = (-model.energy(every_state(3))).softmax(0).detach()
    generator = torch.Generator().manual_seed(0)
    rows = torch.multinomial(shares, 40000, replacement=True, generator=generator)
    after = model.resampled(every_state(3)[rows], generator)
    seen = torch.bincount((after @ torch.tensor([1.0, 2.0, 4.0])).long(), minlength=8)
    assert ((seen / 40000 - shares).abs() < 4 * (shares / 40000).sqrt()).all()
    assert not torch.equal(after, every_state(3)[rows])


def test_flips_are_of_one_number_each() -> None:
    model, x = network(4, binary=True), every_state(4)
    for place in range(4):
        turned = x.clone()
        turned[:, place] = 1 - turned[:, place]
        torch.testing.assert_close(model.flips(x)[:, place], model.energy(turned) - model.energy(x))


def test_settings_make_it_again_and_bad_ones_are_refused() -> None:
    model = EnergyNet.from_data(DataSpec(8, {"vectors": (2,)}, known={"binary": False}), depth=3, width=8)
    again = build_encoder("energy_net", **model.settings)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.energy(torch.ones(1, 2)), model.energy(torch.ones(1, 2)))
    layers = model.layers(torch.ones(1, 2))
    assert list(layers) == ["hidden1", "hidden2", "hidden3"]
    assert torch.equal(layers["hidden3"], model(torch.ones(1, 2)))
    for name in ("visible", "width", "depth"):
        with pytest.raises(ValueError, match=f"{name} is 0; it must be greater than 0"):
            EnergyNet(**({"visible": 2} | {name: 0}))


def test_real_numbers_have_no_gibbs_sampler() -> None:
    model = network()
    assert not model.resamples
    with pytest.raises(DoesNotApply, match="'energy_net' has no Gibbs sampler of real numbers; use Langevin's"):
        model.resampled(torch.zeros(1, 2), torch.Generator())


# ---- what holds for all encoders with an energy


def encoders() -> dict[str, EnergyEncoder]:
    torch.manual_seed(0)
    found = {
        "rbm": RBM(visible=4, hidden=3),
        "real rbm": RBM(visible=4, hidden=3, binary=False),
        "boltzmann": Boltzmann(visible=4),
        "net": network(4, binary=True),
        "real net": network(4),
    }
    with torch.no_grad():
        for model in found.values():
            for weights in model.parameters():
                weights.normal_()
    return found


@pytest.mark.parametrize("name", encoders())
def test_autocast_changes_layers_and_neither_energies_nor_flips_nor_draws_nor_log_z(name: str) -> None:
    model, x = encoders()[name], every_state(4)

    def computed() -> dict[str, torch.Tensor]:
        found = {"energy": model.energy(x), "tempered": model.tempered(x, 0.3)}
        if model.binary:
            found["flips"] = model.flips(x)
        if model.resamples:
            found["drawn"] = model.resampled(x, torch.Generator().manual_seed(0))
            found["log Z"] = log_partition(model)
        return {part: values.detach() for part, values in found.items()}

    plain, layer = computed(), model(x)
    with torch.autocast("cpu", torch.bfloat16):
        fast, fast_layer = computed(), model(x)
    for part, values in plain.items():
        assert fast[part].dtype == torch.float32, part
        assert torch.equal(values, fast[part]), part
    assert not torch.equal(fast_layer.float(), layer)
    torch.testing.assert_close(fast_layer.float(), layer, rtol=0.05, atol=0.1)


def test_who_needs_an_energy_says_so() -> None:
    found = encoders()
    assert with_energy(found["rbm"], "it") is found["rbm"]
    with pytest.raises(DoesNotApply, match="the score needs an energy, and the encoder 'resnet' gives none"):
        with_energy(ResNet(depth=10, width=4), "the score")
    require_binary(found["rbm"], "it")
    require_real(found["real rbm"], "it")
    with pytest.raises(DoesNotApply, match="it is for vectors of real numbers, and these are of 0 and 1"):
        require_real(found["rbm"], "it")
    with pytest.raises(DoesNotApply, match="it is for vectors of 0 and 1, and these are of real numbers"):
        require_binary(found["real rbm"], "it")
