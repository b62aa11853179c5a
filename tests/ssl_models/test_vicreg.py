"""VICReg: three weighted terms of the projections, each of which does what it is there for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.decorrelation import vicreg
from ssl_models.methods.vicreg import VICReg

torch.set_num_threads(1)
INDEX = torch.arange(12)
PLAIN = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
"""Settings of views that leave a picture as it is."""
TERMS = ("invariance", "variance", "covariance")


def method(**settings: Any) -> VICReg:
    torch.manual_seed(0)
    data = DataSpec(40, {"images": (3, 16, 16)})
    return VICReg(ResNet(depth=10, width=4), data, **{"hidden": 32, "projection": 16} | settings)


def pictures(count: int = 12, seed: int = 1) -> Tensor:
    """Smooth pictures, each unlike the others."""
    coarse = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return (functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 255).to(torch.uint8)


def made(network: VICReg, seed: int = 0) -> tuple[Tensor, ...]:
    return network.views(pictures(), torch.Generator().manual_seed(seed))


def terms_of(network: VICReg, *views: Tensor) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in network.loss(*views, index=INDEX).items()}


def test_the_loss_is_equation_6_of_the_projections() -> None:
    network = method(invariance=2.0, variance=3.0, covariance=5.0).eval()
    views = made(network)
    with torch.no_grad():
        distance, spread, shared = vicreg(*(network.projector(network.encoder(view)) for view in views))
    expected = {"invariance": 2 * float(distance), "variance": 3 * float(spread), "covariance": 5 * float(shared)}
    assert terms_of(network, *views) == pytest.approx(expected, rel=1e-5)
    assert min(expected.values()) > 0


def test_the_weights_are_the_paper_s_unless_they_are_given() -> None:
    assert method().weights == {"invariance": 25, "variance": 25, "covariance": 1}
    network = method(variance=0.0, covariance=0.0)
    found = terms_of(network, *made(network))
    assert (found["variance"], found["covariance"]) == (0, 0)
    assert found["invariance"] > 0


def test_equal_views_cost_no_invariance() -> None:
    network = method()
    view = made(network)[0]
    found = terms_of(network, view, view)
    assert found["invariance"] == 0
    assert found["variance"] > 0


def test_collapsed_projections_cost_the_variance_and_their_gradient_is_finite() -> None:
    network = method(variance=10.0)
    nn.init.zeros_(network.projector[-1].weight)
    views = made(network)
    expected = {"invariance": 0, "variance": 9.9, "covariance": 0}  # 10 (1 - sqrt(1e-4))
    assert terms_of(network, *views) == pytest.approx(expected, abs=1e-4)
    torch.stack([*network.loss(*views, index=INDEX).values()]).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)


def test_the_mean_of_an_output_changes_nothing_and_its_scale_does() -> None:
    network = method()
    views = made(network)
    before, last = terms_of(network, *views), network.projector[-1]
    with torch.no_grad():
        last.bias.add_(torch.linspace(-2, 2, 16))
    assert terms_of(network, *views) == pytest.approx(before, rel=1e-3, abs=1e-5)
    with torch.no_grad():
        last.weight.mul_(2)
    after = terms_of(network, *views)
    assert after["invariance"] == pytest.approx(4 * before["invariance"], rel=1e-3)
    assert after["covariance"] == pytest.approx(16 * before["covariance"], rel=1e-3)
    assert after["variance"] < before["variance"]


@pytest.mark.parametrize("term", TERMS)
def test_each_term_has_gradients_through_both_views(term: str) -> None:
    network = method()
    views = [view.requires_grad_() for view in made(network)]
    network.loss(*views, index=INDEX)[term].backward()
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


def trained(steps: int = 30, **settings: Any) -> Tensor:
    """The projections (B, D) of pictures after a short training on two views of each."""
    network, shown = method(**settings), pictures(32)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    batches = [network.views(shown, torch.Generator().manual_seed(seed)) for seed in range(3)]
    for step in range(steps):
        loss = torch.stack([*network.loss(*batches[step % 3], index=torch.arange(32)).values()]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        return network.projector(network.encoder(shown / 255))


def deviation(vectors: Tensor) -> float:
    """That of the numbers of unit vectors, as a share of what vectors all over the sphere have: 0 of equal ones."""
    return float(functional.normalize(vectors, dim=1).std(0).mean() * vectors.shape[1] ** 0.5)


def test_projections_collapse_without_the_variance_term_and_not_with_it() -> None:
    """Table 7 of the paper. The encoder's own vectors hardly move in so few steps."""
    collapsed, kept = trained(variance=0.0), trained(variance=25.0)
    assert deviation(collapsed) < 0.2
    assert float(collapsed.std(0).mean()) < 0.05
    assert deviation(kept) > 0.4
    assert float(kept.std(0).mean()) > 0.15


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"invariance": 0.0}, r"invariance is 0\.0; it must be greater than 0"),
        ({"variance": -1.0}, r"variance is -1\.0; it must be at least 0"),
        ({"covariance": -0.5}, r"covariance is -0\.5; it must be at least 0"),
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
    with pytest.raises(ValueError, match=r"vicreg needs pictures of shape \(C, H, W\)"):
        VICReg(ResNet(depth=10, width=4), DataSpec(40, {"images": (16,)}))
