"""Barlow Twins: equation 1 of the projections, no collapse, and numbers that say different things."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.decorrelation import cross_correlation
from ssl_models.methods.barlow_twins import BarlowTwins

torch.set_num_threads(1)
INDEX = torch.arange(12)
PLAIN = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
"""Settings of views that leave a picture as it is."""


def method(**settings: Any) -> BarlowTwins:
    torch.manual_seed(0)
    data = DataSpec(40, {"images": (3, 16, 16)})
    return BarlowTwins(ResNet(depth=10, width=4), data, **{"hidden": 24, "projection": 16} | settings)


def pictures(count: int = 12, seed: int = 1) -> Tensor:
    """Smooth pictures, each unlike the others."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 255).to(torch.uint8)


def made(twins: BarlowTwins, seed: int = 0) -> tuple[Tensor, ...]:
    return twins.views(pictures(), torch.Generator().manual_seed(seed))


def of_vectors(first: Tensor, second: Tensor, **settings: Any) -> dict[str, float]:
    """The terms of a method whose encoder and projector change nothing."""
    twins = method(projection=first.shape[1], **settings)
    twins.encoder = twins.projector = nn.Identity()  # type: ignore[assignment]
    terms = twins.loss(first, second, index=torch.arange(len(first)))
    return {name: float(term) for name, term in terms.items()}


def test_the_loss_is_equation_1_divided_by_the_number_of_outputs() -> None:
    twins = method(redundancy=0.3).eval()
    views = made(twins)
    terms = twins.loss(*views, index=INDEX)
    with torch.no_grad():
        first, second = (twins.projector(twins.encoder(view)).double() for view in views)
    diagonal = beside = 0.0
    for i in range(16):
        for j in range(16):
            one, other = first[:, i] - first[:, i].mean(), second[:, j] - second[:, j].mean()
            lengths = (one.square().mean() + 1e-5).sqrt() * (other.square().mean() + 1e-5).sqrt()
            correlation = float((one * other).mean() / lengths)
            diagonal += (1 - correlation) ** 2 if i == j else 0.0
            beside += correlation**2 if i != j else 0.0
    assert float(terms["invariance"].detach()) == pytest.approx(diagonal / 16, rel=1e-3)
    assert float(terms["redundancy"].detach()) == pytest.approx(0.3 * beside / 16, rel=1e-3)


def test_views_that_have_nothing_to_do_with_each_other_cost_1_and_equal_ones_without_redundancy_0() -> None:
    first, second = torch.randn(4000, 8), torch.randn(4000, 8)
    apart = of_vectors(first, second, redundancy=1.0)
    assert apart["invariance"] == pytest.approx(1, abs=0.05)
    assert apart["redundancy"] == pytest.approx(7 / 4000, rel=0.5)  # what 7 chance correlations of 4,000 samples add
    same = of_vectors(first, first, redundancy=1.0)
    assert same["invariance"] == pytest.approx(0, abs=1e-6)
    assert same["redundancy"] == pytest.approx(7 / 4000, rel=0.5)


def test_copies_of_one_number_cost_only_redundancy() -> None:
    same = torch.randn(50, 1).expand(50, 8)
    assert of_vectors(same, same, redundancy=0.5) == pytest.approx({"invariance": 0, "redundancy": 3.5}, abs=1e-3)


def test_collapsed_projections_cost_1_and_their_gradient_is_finite() -> None:
    twins = method()
    nn.init.zeros_(twins.projector[-1].weight)
    terms = twins.loss(*made(twins), index=INDEX)
    assert float(terms["invariance"].detach()) == pytest.approx(1, abs=1e-6)
    assert float(terms["redundancy"].detach()) == pytest.approx(0, abs=1e-6)
    torch.stack([*terms.values()]).sum().backward()
    assert all(parameter.grad is not None for parameter in twins.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in twins.parameters() if parameter.grad is not None)


def test_scale_and_mean_of_an_output_change_nothing() -> None:
    twins = method(redundancy=0.3)
    before = twins.loss(*made(twins), index=INDEX)
    with torch.no_grad():
        last = twins.projector[-1]
        scales = torch.linspace(1, 5, 16)
        last.weight.mul_(scales[:, None])
        last.bias.mul_(scales).add_(torch.linspace(-2, 2, 16))
    after = twins.loss(*made(twins), index=INDEX)
    for name, term in before.items():
        torch.testing.assert_close(after[name], term, rtol=2e-2, atol=1e-4)


def test_gradients_go_through_both_views() -> None:
    twins = method()
    views = [view.requires_grad_() for view in made(twins)]
    torch.stack([*twins.loss(*views, index=INDEX).values()]).sum().backward()
    for view in views:
        assert view.grad is not None
        assert (view.grad.flatten(1).abs().amax(1) > 0).all()


def test_the_two_views_are_drawn_apart_and_the_second_alone_is_solarised() -> None:
    first, second = made(method())
    assert ((first - second).abs().amax((1, 2, 3)) > 0.01).all()
    as_it_is, inverted = made(method(solarise=1.0, **PLAIN))
    expected = pictures() / 255
    torch.testing.assert_close(as_it_is, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(inverted, torch.where(as_it_is >= 0.5, 1 - as_it_is, as_it_is), rtol=0, atol=1e-5)
    assert not torch.allclose(inverted, expected, atol=0.1)


def test_the_projector_has_three_layers_and_the_last_is_not_normalised() -> None:
    projector = method(hidden=24, projection=16).projector
    kinds = [type(layer).__name__ for layer in projector]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert [layer.out_features for layer in projector if isinstance(layer, nn.Linear)] == [24, 24, 16]


def trained(redundancy: float, steps: int = 30) -> Tensor:
    """The correlations (D, D) of the two views' projections after a short training."""
    twins = method(redundancy=redundancy)
    optimizer = torch.optim.SGD(twins.parameters(), lr=0.1, momentum=0.9)
    views = twins.views(pictures(48), torch.Generator().manual_seed(0))
    for _ in range(steps):
        loss = torch.stack([*twins.loss(*views, index=torch.arange(48)).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return cross_correlation(*(twins.projector(twins.encoder(view)) for view in views))


def test_a_short_training_makes_views_agree_and_with_redundancy_numbers_differ() -> None:
    """The batch normalisation of the correlation keeps both from collapsing, which would have a diagonal of 0."""
    beside = []
    for redundancy in (1e-6, 0.2):
        correlation = trained(redundancy)
        diagonal = correlation.diagonal()
        assert float(diagonal.mean()) > 0.6
        beside.append(float((correlation - diagonal.diag()).square().sum() / (16 * 15)))
    assert beside[1] < beside[0] / 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"redundancy": 0.0}, r"redundancy is 0\.0; it must be greater than 0"),
        ({"redundancy": -1.0}, r"redundancy is -1\.0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"projection": 0}, "projection is 0"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
        ({"flip": 1.5}, r"flip is 1\.5"),
        ({"strength": -0.1}, r"strength is -0\.1"),
        ({"hue": 0.7}, r"hue is 0\.7"),
        ({"grey": 2.0}, r"grey is 2\.0"),
        ({"blur": -0.5}, r"blur is -0\.5"),
        ({"solarise": 1.1}, r"solarise is 1\.1; it must lie in \[0, 1\]"),
        ({"invert": -0.1}, r"invert is -0\.1"),
        ({"gamma": 1.1}, r"gamma is 1\.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"barlow_twins needs pictures of shape \(C, H, W\)"):
        BarlowTwins(ResNet(depth=10, width=4), DataSpec(40, {"images": (16,)}))
