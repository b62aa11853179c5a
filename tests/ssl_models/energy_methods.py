"""Small energies, their exact expectations and short trainings: what tests of methods on energies share."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders import build_encoder
from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.errors import DoesNotApply
from ssl_models.method import Method, method_class
from ssl_models.trainer import Settings, Training
from tests.ssl_models import densities
from tests.ssl_models.built_methods import score

FEW = 4
"""Units of a small energy: its 16 states are gone through one by one."""
SMALL: dict[str, dict[str, Any]] = {"boltzmann": {}, "rbm": {"hidden": 3}, "energy_net": {"width": 5}}
APART = ~torch.eye(densities.UNITS, dtype=torch.bool)


def small(name: str, seed: int = 0) -> EnergyEncoder:
    """Few units of 0 and 1, with weights drawn at random, so that no two states are equally likely."""
    encoder = build_encoder(name, visible=FEW, binary=True, **SMALL[name])
    generator = Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
    return encoder


def built(name: str, encoder: Any, known: dict[str, Any] | None = None, **settings: Any) -> Any:
    """A method around an encoder. known: what is known of the data; those of `densities` where it is left out."""
    binary, visible = getattr(encoder, "binary", True), getattr(encoder, "visible", densities.UNITS)
    found = densities.known("binary" if binary else "reals") if known is None else known
    return method_class(name)(encoder, DataSpec(100, {"vectors": (visible,)}, known=found), **settings)


def loss_of(method: Method, *views: Tensor) -> Tensor:
    """What is minimised."""
    return score(method, views).terms["loss"]


def expectation(method: Method, shares: Tensor) -> Tensor:
    """The loss's expectation over all states, of these probabilities (2^D,), of a method that is given them alone."""
    states = densities.every_state(method.encoder.visible)
    return (shares * torch.stack([loss_of(method, state[None]) for state in states])).sum()


def largest_gradient(method: Method, value: Tensor) -> float:
    """Of all parameters."""
    found = torch.autograd.grad(value, list(method.parameters()))
    return max(float(gradient.abs().max()) for gradient in found)


def assert_least_at_the_truth(method: Method) -> None:
    """Under the model's own distribution the gradient is 0, and all energies about it cost more."""
    shares = densities.probabilities(method.encoder)
    here = expectation(method, shares)
    assert largest_gradient(method, here) < 1e-5
    uniform = torch.full_like(shares, 1 / len(shares))
    assert largest_gradient(method, expectation(method, uniform)) > 0.05  # so that 0 says something
    before = [parameter.detach().clone() for parameter in method.parameters()]
    generator = Generator().manual_seed(1)
    with torch.no_grad():
        for _ in range(5):
            for parameter, value in zip(method.parameters(), before, strict=True):
                parameter.copy_(value + 0.2 * torch.randn(value.shape, generator=generator))
            assert expectation(method, shares) > here + 1e-4


def shifted(encoder: EnergyEncoder, constant: float) -> EnergyEncoder:
    """The encoder, with a constant added to its energy from now on."""
    before = encoder.energy_of
    encoder.energy_of = lambda x: before(x) + constant
    return encoder


def gradients(method: Method, *views: Tensor) -> list[Tensor]:
    """Of the encoder's parameters."""
    return list(torch.autograd.grad(loss_of(method, *views), list(method.encoder.parameters())))


def assert_reaches_all(method: Method, *views: Tensor) -> None:
    """A gradient reaches every parameter of the encoder."""
    assert all(gradient.abs().max() > 0 for gradient in gradients(method, *views))


def assert_the_same_under_autocast(method: Method, *views: Tensor) -> None:
    """Neither the loss nor a gradient is rounded to bfloat16."""
    before, slopes = loss_of(method, *views), gradients(method, *views)
    with torch.autocast("cpu", torch.bfloat16):
        after = loss_of(method, *views)
    assert torch.equal(after, before)
    rounded = torch.autograd.grad(after, list(method.encoder.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(slopes, rounded, strict=True))


def assert_refuses(name: str, encoder: Any, message: str, **given: Any) -> None:
    """DoesNotApply, with this message."""
    with pytest.raises(DoesNotApply, match=message):
        built(name, encoder, **given)


def assert_needs_an_energy(name: str) -> None:
    """A ResNet is refused."""
    encoder = build_encoder("resnet", depth=10, width=4)
    assert_refuses(name, encoder, f"{name} needs an energy, and the encoder 'resnet' gives none")


def train(method: Method, vectors: Tensor, *, epochs: int, rate: float) -> Method:
    """The method after a short training by the project's trainer, in batches of 256."""
    settings = Settings(
        epochs=epochs, batch_size=256, optimizer="adamw", learning_rate=rate, weight_decay=0, warmup_epochs=0
    )
    Training(method, vectors, settings, seed=0).run()
    return method


def coupling_error(method: Any) -> float:
    """The root of the mean square over pairs, of couplings of the ring that were learnt; 0.25 for none."""
    apart = method.encoder.couplings.detach() - densities.ring().couplings.detach()
    return float(apart[APART].square().mean().sqrt())
