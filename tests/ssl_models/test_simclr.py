"""SimCLR: two different views, one loss over both, a chance that follows the batch."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.contrastive import nt_xent, nt_xent_accuracy
from ssl_models.losses.metric import n_pair
from ssl_models.methods.simclr import SimCLR

torch.set_num_threads(1)


def method(channels: int = 3, side: int = 16, **settings: Any) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(
        ResNet(depth=10, width=4, channels=channels), DataSpec(20, {"images": (channels, side, side)}), **settings
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def test_the_two_views_are_drawn_apart(images: Tensor) -> None:
    first, second = method().views(images, torch.Generator().manual_seed(0))
    assert ((first - second).abs().amax((1, 2, 3)) > 0.01).all()


def test_without_any_augmentation_both_views_are_the_picture(images: Tensor) -> None:
    plain = method(smallest_crop=1.0, flip=0.0, strength=0.0, hue=0.0, grey=0.0)
    for view in plain.views(images, torch.Generator()):
        torch.testing.assert_close(view, images / 255, rtol=0, atol=1e-5)


def test_a_hue_of_one_half_reaches_every_colour(images: Tensor) -> None:
    red = torch.zeros_like(images)
    red[:, 0] = 180
    views = torch.cat(
        method(hue=0.5).views(red.expand(6, 3, 16, 16).repeat(20, 1, 1, 1), torch.Generator().manual_seed(0))
    )
    strongest = views.mean((2, 3)).argmax(1)
    assert set(strongest.tolist()) == {0, 1, 2}


def test_blur_is_optional_and_smooths(images: Tensor) -> None:
    settings = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
    wide = images.repeat_interleave(8, 2).repeat_interleave(8, 3)  # at 128 px, where the deviation is up to 1.1
    sharp, _ = method(side=128, **settings).views(wide, torch.Generator().manual_seed(0))
    soft, _ = method(side=128, blur=1.0, **settings).views(wide, torch.Generator().manual_seed(0))
    assert float(soft.diff(dim=3).abs().amax()) < float(sharp.diff(dim=3).abs().amax())


def test_the_loss_is_nt_xent_of_the_head_and_chance_follows_the_batch(images: Tensor) -> None:
    simclr = method(temperature=0.2).eval()
    assert simclr.chance is None
    first, second = simclr.views(images, torch.Generator().manual_seed(0))
    scored = simclr.loss(first, second, index=torch.arange(6))
    terms = scored.terms
    expected = nt_xent(simclr.head(simclr.encoder(first)), simclr.head(simclr.encoder(second)), 0.2)
    torch.testing.assert_close(terms["loss"], expected)
    assert scored.chance == pytest.approx(math.log(11))
    assert 0 <= float(terms["accuracy"]) <= 1


def test_the_n_pair_objective_scores_the_same_projections_unnormalised(images: Tensor) -> None:
    simclr = method(objective="n_pair", length_penalty=0.1, temperature=0.2).eval()
    first, second = simclr.views(images, torch.Generator().manual_seed(0))
    scored = simclr.loss(first, second, index=torch.arange(6))
    terms = scored.terms
    one, other = simclr.head(simclr.encoder(first)), simclr.head(simclr.encoder(second))
    torch.testing.assert_close(terms["loss"], n_pair(one, other))
    squared_lengths = torch.cat([one, other]).square().sum(1)
    torch.testing.assert_close(terms["penalty"], 0.1 * squared_lengths.mean() / 2)
    torch.testing.assert_close(terms["accuracy"], nt_xent_accuracy(one, other))
    assert scored.chance == pytest.approx(math.log(6))
    assert not terms["accuracy"].requires_grad


def test_equal_projections_cost_the_chance_of_either_objective(images: Tensor) -> None:
    for objective in ("nt_xent", "n_pair"):
        simclr = method(objective=objective)
        torch.nn.init.zeros_(simclr.head[-1].weight)
        scored = simclr.loss(*simclr.views(images, torch.Generator().manual_seed(0)), index=torch.arange(6))
        assert float(scored.terms["loss"].detach()) == pytest.approx(scored.chance, rel=1e-5)


def test_the_objectives_differ_in_the_loss_and_in_nothing_else(images: Tensor) -> None:
    both = [method(), method(objective="n_pair")]
    states = [simclr.state_dict() for simclr in both]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    views = [simclr.views(images, torch.Generator().manual_seed(0)) for simclr in both]
    assert all(torch.equal(one, other) for one, other in zip(*views, strict=True))
    terms = [simclr.loss(*view, index=torch.arange(6)).terms for simclr, view in zip(both, views, strict=True)]
    assert [set(names) for names in terms] == [{"loss", "accuracy"}, {"loss", "penalty", "accuracy"}]
    assert torch.equal(terms[0]["accuracy"], terms[1]["accuracy"])


def test_the_penalty_pulls_the_projections_towards_zero(images: Tensor) -> None:
    simclr = method(objective="n_pair")
    terms = simclr.loss(*simclr.views(images, torch.Generator().manual_seed(0)), index=torch.arange(6)).terms
    terms["penalty"].backward()
    head = simclr.head[-1]
    assert float((head.weight.grad * head.weight.detach()).sum()) > 0  # a step against it shortens the weights


def test_grey_data_are_given_light_and_no_colour(images: Tensor) -> None:
    first, second = method(channels=1).views(images[:, :1], torch.Generator().manual_seed(0))
    assert first.shape == second.shape == (6, 1, 16, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"hue": 0.7}, "hue is 0.7"),
        ({"strength": -0.1}, "strength is -0.1"),
        ({"grey": 2.0}, "grey is 2.0"),
        ({"blur": -0.5}, "blur is -0.5"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"projection": 0}, "projection is 0"),
        ({"objective": "triplet"}, "objective is 'triplet'; choose one of nt_xent, n_pair"),
        ({"length_penalty": -0.1}, "length_penalty is -0.1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
