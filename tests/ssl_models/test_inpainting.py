"""Inpainting: the hole is hidden, only it is judged, and each side of the game moves its own weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.decoder import painting_target
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.inpainting import Discriminator, Inpainting
from ssl_models.views.corruption import mean_colour

torch.set_num_threads(1)

INDEX = torch.arange(6)


def method(side: int = 16, channels: int = 3, **settings: Any) -> Inpainting:
    torch.manual_seed(0)
    return Inpainting(
        ResNet(depth=10, width=4, channels=channels), DataSpec(20, {"images": (channels, side, side)}), **settings
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (6, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def made(inpainting: Inpainting, images: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    return inpainting.views(images, torch.Generator().manual_seed(seed))


def norms(module: torch.nn.Module) -> list[float]:
    """The largest gradient of each parameter, 0 where there is none."""
    return [0.0 if p.grad is None else float(p.grad.abs().max()) for p in module.parameters()]


@pytest.mark.parametrize("region", ["centre", "blocks"])
def test_what_is_hidden_is_hidden_and_the_rest_is_the_picture(images: Tensor, region: str) -> None:
    plain = method(region=region, blocks=4, smallest_crop=1.0, flip=0.0)
    filled, pictures, hole = made(plain, images)
    torch.testing.assert_close(pictures, images / 255, rtol=0, atol=1e-5)
    assert hole.dtype == torch.int64
    assert hole.shape == (6, 1, 16, 16)
    hidden = hole.bool().expand_as(pictures)
    assert torch.equal(filled[~hidden], pictures[~hidden])
    for sample in range(6):
        inside = hole[sample, 0].bool()
        seen = pictures[sample][:, ~inside].mean(1)
        torch.testing.assert_close(filled[sample][:, inside], seen[:, None].expand(3, int(inside.sum())))


def test_the_filled_picture_does_not_depend_on_what_was_hidden(images: Tensor) -> None:
    plain = method(region="centre", smallest_crop=1.0, flip=0.0)
    changed = images.clone()
    changed[:, :, 5:11, 5:11] = 255 - changed[:, :, 5:11, 5:11]
    torch.testing.assert_close(made(plain, images)[0], made(plain, changed)[0], rtol=0, atol=1e-5)


def test_holes_differ_per_sample_and_the_centre_does_not(images: Tensor) -> None:
    blocks = made(method(blocks=4), images)[2]
    assert len({mask.numpy().tobytes() for mask in blocks}) == 6
    centre = made(method(region="centre"), images)[2]
    assert (centre == centre[:1]).all()
    assert int(centre[0].sum()) == 64


def test_the_loss_is_equation_1_over_the_spread_of_what_is_hidden(images: Tensor) -> None:
    inpainting = method(context=0.0, blocks=4).eval()
    filled, pictures, hole = made(inpainting, images)
    (loss,) = inpainting.loss(filled, pictures, hole, index=INDEX).values()
    painted = inpainting.decoder(inpainting.encoder.layers(filled)["res5"])
    target = painting_target(pictures, mean_colour(pictures, hole), normalise=True)
    error = spread = 0.0
    for channel in range(3):
        inside = hole[:, 0].bool()
        values, guesses = target[:, channel][inside], painted[:, channel][inside]
        error += float((values - guesses).detach().square().sum())
        spread += float((values - values.mean()).square().sum())
    assert float(loss.detach()) == pytest.approx(error / spread, rel=1e-4)


def test_only_the_hole_is_judged_and_the_context_as_far_as_it_weighs(images: Tensor) -> None:
    for context, changes in ((0.0, False), (0.5, True)):
        inpainting = method(context=context).eval()
        filled, pictures, hole = made(inpainting, images)
        outside = (1 - hole).expand_as(pictures)
        other = pictures + 0.2 * outside * (torch.arange(16) % 2 * 2 - 1)  # stripes, of mean nearly 0
        inpainting.normalise = False
        losses = [inpainting.loss(filled, target, hole, index=INDEX)["reconstruction"] for target in (pictures, other)]
        assert (not torch.equal(*losses)) == changes


def test_the_overlap_weighs_ten_and_the_rest_its_context() -> None:
    hole = torch.zeros(1, 1, 16, 16, dtype=torch.int64)
    hole[:, :, 4:12, 4:12] = 1
    weight = method(overlap=2, context=0.25).weight(hole)
    expected = torch.full((16, 16), 0.25)
    expected[2:14, 2:14] = 10
    expected[4:12, 4:12] = 1
    assert torch.equal(weight[0, 0], expected)
    assert torch.equal(method(context=0.0).weight(hole), hole.float())


def test_without_a_game_there_is_no_discriminator(images: Tensor) -> None:
    inpainting = method()
    assert set(inpainting.loss(*made(inpainting, images), index=INDEX)) == {"reconstruction"}
    assert not any("discriminator" in name for name, _ in inpainting.named_parameters())
    assert inpainting.chance == 1


def test_each_term_moves_its_own_parameters(images: Tensor) -> None:
    inpainting = method(adversarial=0.1)
    views = made(inpainting, images)
    moved = {}
    for term in ("reconstruction", "fooling", "discriminator"):
        inpainting.zero_grad(set_to_none=True)
        inpainting.loss(*views, index=INDEX)[term].backward()
        parts = inpainting.encoder, inpainting.decoder, inpainting.discriminator
        moved[term] = [norms(part) for part in parts]
    for term in ("reconstruction", "fooling"):
        encoder, decoder, discriminator = moved[term]
        assert min(encoder) > 0
        assert min(decoder) > 0
        assert max(discriminator) == 0
    encoder, decoder, discriminator = moved["discriminator"]
    assert max(encoder) == max(decoder) == 0
    assert min(discriminator) > 0


def test_the_sum_gives_each_side_the_gradient_of_its_own_terms(images: Tensor) -> None:
    inpainting = method(adversarial=0.1)
    views = made(inpainting, images)

    def gradients(*names: str) -> dict[str, Tensor]:
        inpainting.zero_grad(set_to_none=True)
        terms = inpainting.loss(*views, index=INDEX)
        torch.stack([terms[name] for name in names]).sum().backward()
        return {name: p.grad.clone() for name, p in inpainting.named_parameters() if p.grad is not None}

    both = gradients("reconstruction", "fooling", "discriminator")
    apart = gradients("reconstruction", "fooling") | gradients("discriminator")
    assert both.keys() == apart.keys()
    for name in both:
        torch.testing.assert_close(both[name], apart[name])


def test_fooling_wants_paintings_to_pass_and_the_discriminator_the_contrary() -> None:
    inpainting = method(adversarial=0.25)
    real, painted = torch.rand(6, 3, 16, 16), torch.rand(6, 3, 16, 16)
    terms = inpainting.game(real, painted)
    on_real, on_painted = inpainting.discriminator(real), inpainting.discriminator(painted)
    torch.testing.assert_close(terms["fooling"], 0.25 * -functional.logsigmoid(on_painted).mean())
    expected = -(functional.logsigmoid(on_real) + functional.logsigmoid(-on_painted)).mean() / 2
    torch.testing.assert_close(terms["discriminator"], expected)
    assert not terms["discriminator_accuracy"].requires_grad


def test_judging_leaves_no_trace_in_the_discriminator() -> None:
    inpainting = method(adversarial=0.1).train()
    before = {name: value.clone() for name, value in inpainting.discriminator.state_dict().items()}
    inpainting.game(torch.rand(6, 3, 16, 16), torch.rand(6, 3, 16, 16))
    assert list(inpainting.discriminator.buffers()) == []
    assert all(torch.equal(value, before[name]) for name, value in inpainting.discriminator.state_dict().items())


def test_the_discriminator_learns_to_tell_a_fixed_bad_painter_from_pictures(images: Tensor) -> None:
    inpainting = method(adversarial=0.001, region="centre")
    optimizer = torch.optim.Adam(inpainting.discriminator.parameters(), lr=0.005)
    course = []
    for step in range(40):
        _, pictures, hole = made(inpainting, images, seed=step)
        target = painting_target(pictures, mean_colour(pictures, hole), normalise=True)
        terms = inpainting.game(hole * target, hole * torch.zeros_like(target))  # paints the mean colour
        optimizer.zero_grad()
        terms["discriminator"].backward()
        optimizer.step()
        course.append(terms)
    assert float(course[0]["discriminator"].detach()) == pytest.approx(math.log(2), abs=0.3)
    assert float(course[-1]["discriminator"].detach()) < 0.2
    assert float(course[-1]["discriminator_accuracy"]) == 1


def test_if_nobody_can_tell_the_game_costs_chance() -> None:
    inpainting = method(adversarial=0.2)
    torch.nn.init.zeros_(inpainting.discriminator.last.weight)
    torch.nn.init.zeros_(inpainting.discriminator.last.bias)
    terms = inpainting.game(torch.rand(6, 3, 16, 16), torch.rand(6, 3, 16, 16))
    game = float((terms["fooling"] + terms["discriminator"]).detach())
    assert inpainting.chance == pytest.approx(0.8 + game)


def test_a_discriminator_takes_any_size() -> None:
    for side in (8, 24, 32, 40):
        assert Discriminator(1, side, 4)(torch.rand(2, 1, side, side)).shape == (2,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": "corner"}, "region is 'corner'; choose one of centre, blocks"),
        ({"hidden": 0.0}, r"hidden is 0.0; it must lie between 0 and 1"),
        ({"hidden": 1.0}, r"hidden is 1.0"),
        ({"blocks": 0}, "blocks is 0"),
        ({"blocks": 1000}, "blocks is 1000"),
        ({"overlap": -1}, "overlap is -1"),
        ({"context": -0.5}, r"context is -0.5"),
        ({"adversarial": 1.5}, r"adversarial is 1.5"),
        ({"adversarial": 0.1, "side": 6, "blocks": 1}, r"adversarial is 0.1; .* at least 8 px"),
        ({"decoder_width": 0}, "decoder_width is 0"),
        ({"discriminator_width": 0}, "discriminator_width is 0"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0.0"),
        ({"flip": 2.0}, r"flip is 2.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="inpainting needs pictures"):
        Inpainting(ResNet(depth=10, width=4), DataSpec(20, {"images": (12,)}))
