"""Colorization: lightness in, colours out, rare colours weighing more, and no grey where colours are many."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.colorization import COLOUR_RANGE, COLOUR_SCALE, Colorization
from ssl_models.views.colour_bins import rebalancing_weights
from ssl_models.views.lab import lab_to_rgb, rgb_to_lab

torch.set_num_threads(1)

INDEX = torch.arange(4)


def method(side: int = 16, channels: int = 3, **settings: Any) -> Colorization:
    torch.manual_seed(0)
    encoder = ResNet(depth=10, width=4, channels=channels)
    return Colorization(encoder, DataSpec(20, {"images": (channels, side, side)}), **settings)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=Generator().manual_seed(1))


def made(brain: Colorization, images: Tensor, seed: int = 0) -> Tensor:
    return brain.views(images, Generator().manual_seed(seed))[0]


class Fixed(nn.Module):
    """A head that gives the same maps whatever it sees."""

    def __init__(self, maps: Tensor) -> None:
        super().__init__()
        self.maps = nn.Parameter(maps)

    def forward(self, _: Any) -> Tensor:
        return self.maps


def histogram(brain: Colorization, view: Tensor) -> Tensor:
    """(Q,) shares of the places whose mean colour is nearest to each bin."""
    colours = functional.avg_pool2d((view[:, 1:] - 0.5) * COLOUR_RANGE, brain.patch)
    distance = torch.cdist(colours.permute(0, 2, 3, 1).reshape(-1, 2), brain.bins.centres)
    nearest = distance.argmin(1)
    return torch.bincount(nearest, minlength=len(brain.bins)).float() / len(nearest)


# ---- views


def test_the_view_is_the_picture_in_lab_and_a_flip_mirrors_it(images: Tensor) -> None:
    lab = rgb_to_lab(images / 255)
    expected = torch.cat([lab[:, :1] / 100, lab[:, 1:] / 256 + 0.5], dim=1)
    torch.testing.assert_close(made(method(smallest_crop=1.0, flip=0.0), images), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(made(method(smallest_crop=1.0, flip=1.0), images), expected.flip(3), rtol=0, atol=1e-4)


def test_a_crop_moves_lightness_and_colour_together() -> None:
    row = torch.arange(16, dtype=torch.uint8) * 12 + 20
    grey = row.view(1, 1, 1, 16).expand(8, 3, 16, 16)
    view = made(method(smallest_crop=0.3), grey)
    assert (view[:, 1:] - 0.5).abs().max() < 1e-4  # what was grey is grey still
    assert len({float(picture[0].sum()) for picture in view}) == 8


def test_the_encoder_sees_lightness_in_three_equal_channels_and_no_colour(images: Tensor) -> None:
    brain = method()
    seen: list[Tensor] = []
    brain.encoder.network.conv1.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    view = made(brain, images)
    brain.loss(view, index=INDEX)
    assert torch.equal(seen[0], brain.encoder.network.standardise(view[:, :1].expand(-1, 3, -1, -1)))
    other = torch.cat([view[:, :1], 1 - view[:, 1:]], dim=1)
    brain.loss(other, index=INDEX)
    assert torch.equal(seen[0], seen[1])


# ---- the loss


def test_the_loss_is_equation_2_of_the_paper_with_weights_of_mean_one(images: Tensor) -> None:
    brain = method(patch=8)
    classes = len(brain.bins)
    brain.distribution.copy_(torch.rand(classes, generator=Generator().manual_seed(2)).pow(8))
    brain.distribution /= brain.distribution.sum()
    logits = 3 * torch.randn(4, classes, 2, 2, generator=Generator().manual_seed(3))
    brain.head = Fixed(logits)
    view = made(brain, images)
    terms = brain.loss(view, index=INDEX).terms

    centres = brain.bins.centres.double()
    weights = rebalancing_weights(brain.bins.smooth(brain.distribution), 0.5)
    colours = ((view[:, 1:] - 0.5) * COLOUR_RANGE).double()
    losses, shown, right = [], [], []
    for sample in range(4):
        for row in range(2):
            for column in range(2):
                square = colours[sample, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                distance = (centres - square.mean((1, 2))).norm(dim=1)
                nearest = distance.argsort()[:5]
                gaussian = (-distance[nearest].square() / (2 * 5**2)).exp()
                scores = logits[sample, :, row, column].double().log_softmax(0)
                losses.append(float(-(gaussian / gaussian.sum() * scores[nearest]).sum()))
                shown.append(float(weights[nearest[0]]))
                right.append(float(scores.argmax() == nearest[0]))
    assert len(set(shown)) > 4
    whole = sum(shown)
    expected = sum(weight * loss for weight, loss in zip(shown, losses, strict=True)) / whole
    assert float(terms["loss"].detach()) == pytest.approx(expected, rel=1e-4)
    accuracy = sum(weight * hit for weight, hit in zip(shown, right, strict=True)) / whole
    assert float(terms["accuracy"]) == pytest.approx(accuracy, rel=1e-4)


@pytest.mark.parametrize(("uniform", "extent", "count"), [(0.0001, "gamut", 262), (0.5, "hull", 313), (1, "hull", 313)])
def test_equal_logits_cost_chance_whatever_weights_and_bins(
    images: Tensor, uniform: float, extent: str, count: int
) -> None:
    brain = method(uniform=uniform, extent=extent)
    view = made(brain, images)
    brain.distribution.copy_(histogram(brain, view))
    brain.head = Fixed(torch.full((4, len(brain.bins), 4, 4), 2.0))
    assert brain.chance == pytest.approx(math.log(count))
    assert float(brain.loss(view, index=INDEX).terms["loss"].detach()) == pytest.approx(math.log(count), rel=1e-5)


def test_no_prediction_that_sees_no_picture_costs_less_than_the_constant(images: Tensor) -> None:
    brain = method()
    view = made(brain, images)
    brain.head = Fixed(torch.zeros(len(brain.bins), 1, 1))
    spread = brain.head.forward
    brain.head.forward = lambda maps: spread(maps).expand(4, -1, 4, 4)  # type: ignore[method-assign]
    optimizer = torch.optim.Adam(brain.head.parameters(), lr=0.3)
    for _ in range(200):
        terms = brain.loss(view, index=INDEX).terms
        optimizer.zero_grad()
        terms["loss"].backward()
        optimizer.step()
    loss, constant = float(terms["loss"].detach()), float(terms["constant"])
    assert constant - 1e-4 < loss < constant + 0.02
    assert constant < brain.chance
    assert not terms["constant"].requires_grad


def test_regression_costs_one_for_the_mean_colour_and_nothing_for_the_true_ones(images: Tensor) -> None:
    brain = method(objective="regression")
    view = made(brain, images)
    colours = functional.avg_pool2d((view[:, 1:] - 0.5) * COLOUR_RANGE, 4) / COLOUR_SCALE
    for predicted, expected in (
        (colours, 0.0),
        (colours.mean((0, 2, 3), keepdim=True).expand_as(colours), 1.0),
    ):
        brain.head = Fixed(predicted.clone())
        assert float(brain.loss(view, index=INDEX).terms["loss"].detach()) == pytest.approx(expected, abs=1e-5)
    assert brain.chance == 1


# ---- the distribution of colours


def test_the_distribution_is_the_mean_over_the_batches_seen_and_moves_after_the_step(images: Tensor) -> None:
    brain = method()
    uniform = brain.distribution.clone()
    assert uniform.tolist() == pytest.approx([1 / 262] * 262)
    seen = []
    for seed in range(3):
        view = made(brain, images, seed)
        before = brain.distribution.clone()
        scored = brain.loss(view, index=INDEX)
        scored.terms["loss"].backward()
        assert torch.equal(brain.distribution, before)
        brain.after_step(scored.handed_over, 0.1)
        seen.append(histogram(brain, view))
        torch.testing.assert_close(brain.distribution, torch.stack(seen).mean(0))
    kept = brain.distribution.clone()
    brain.after_step(None, 0.2)  # no batch was scored, as where another task of several was drawn
    assert torch.equal(brain.distribution, kept)
    assert not brain.distribution.requires_grad


def test_the_distribution_is_checkpointed_and_the_bins_are_not(images: Tensor) -> None:
    first, second = method(), method()
    first.after_step(first.loss(made(first, images), index=INDEX).handed_over, 0.1)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for brain in (first, second):
        brain.after_step(brain.loss(made(brain, images, 5), index=INDEX).handed_over, 0.2)
    assert int(second.batches) == 2
    assert torch.equal(first.distribution, second.distribution)
    assert not [name for name in first.state_dict() if name.startswith("bins")]


# ---- colours given back


def test_decoding_keeps_the_lightness_and_takes_the_colours_predicted() -> None:
    grey = torch.linspace(110, 150, 256).to(torch.uint8).view(1, 1, 16, 16).expand(4, 3, 16, 16)
    brain = method(objective="regression").eval()
    brain.head = Fixed(torch.tensor([20.0, -10.0]).view(1, 2, 1, 1).expand(4, 2, 4, 4) / COLOUR_SCALE)
    lab = rgb_to_lab(brain.decode(grey))
    torch.testing.assert_close(lab[:, 0], rgb_to_lab(grey / 255)[:, 0], rtol=0, atol=0.01)
    assert lab[:, 1].flatten().tolist() == pytest.approx([20.0] * 1024, abs=0.01)
    assert lab[:, 2].flatten().tolist() == pytest.approx([-10.0] * 1024, abs=0.01)
    torch.testing.assert_close(brain.decode(grey / 255), brain.decode(grey))


def blue_or_yellow(generator: Generator) -> Tensor:
    """A view (96, 3, 8, 8) of speckled pictures, 64 blue and 32 twice as yellow: of mean grey, alike in lightness."""
    lightness = 0.65 + 0.1 * torch.rand(96, 1, 8, 8, generator=generator)
    yellow = torch.where(torch.arange(96) < 64, -30.0, 60.0).view(96, 1, 1, 1).expand(96, 1, 8, 8)
    return torch.cat([lightness, torch.full_like(lightness, 0.5), yellow / COLOUR_RANGE + 0.5], dim=1)


def predicted_yellow(**settings: Any) -> float:
    """The mean b* that a method gives such pictures after some steps."""
    brain = method(side=8, hidden=16, layers=1, **settings)
    optimizer = torch.optim.Adam(brain.parameters(), lr=0.01)
    generator = Generator().manual_seed(0)
    for step in range(100):
        scored = brain.loss(blue_or_yellow(generator), index=torch.arange(96))
        loss = scored.terms["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        brain.after_step(scored.handed_over, step / 100)
    view = blue_or_yellow(generator)
    colours = torch.cat([100 * view[:, :1], (view[:, 1:] - 0.5) * COLOUR_RANGE], dim=1)
    return float(rgb_to_lab(brain.eval().decode(lab_to_rgb(colours)))[:, 2].mean())


def test_where_two_colours_are_possible_regression_greys_and_classes_do_not() -> None:
    assert abs(predicted_yellow(objective="regression")) < 5
    # annealed, 2 to 1 becomes 6.2 to 1: b* = -30 * 0.86 + 60 * 0.14
    assert predicted_yellow(uniform=1.0) == pytest.approx(-17.5, abs=6)
    # weighted against rarity both are about as likely, and the rarer, stronger one is seen: b* = (-30 + 60) / 2
    assert predicted_yellow() == pytest.approx(15, abs=10)


# ---- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"channels": 1}, "needs the 3 channels red, green and blue, and these pictures have 1"),
        ({"channels": 4}, "these pictures have 4"),
        ({"objective": "hinge"}, "objective is 'hinge'; choose one of classification, regression"),
        ({"grid": 0}, "grid is 0"),
        ({"extent": "all"}, "extent is 'all'; choose one of gamut, hull"),
        ({"neighbours": 300}, "neighbours is 300; a grid of 10 has only 262 bins"),
        ({"deviation": -1.0}, "deviation is -1.0"),
        ({"uniform": 1.5}, "uniform is 1.5"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"patch": 0}, "patch is 0; pictures of 16 x 16 px allow 1 to 16"),
        ({"patch": 17}, "patch is 17"),
        ({"layers": 0}, "layers is 0; the encoder allows 1 to 5"),
        ({"layers": 6}, "layers is 6"),
        ({"hidden": 0}, "hidden is 0"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 2.0}, "flip is 2.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_chroma_is_that_of_the_colours_predicted_against_the_true_ones(images: Tensor) -> None:
    """By hand: a constant (3, 4) is 5 from grey everywhere; what is true is asked of the view itself."""
    brain = method(objective="regression")
    view = made(brain, images)
    true = functional.avg_pool2d((view[:, 1:] - 0.5) * COLOUR_RANGE, brain.patch)
    constant = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand_as(true)
    brain.head = Fixed(constant / COLOUR_SCALE)
    expected = 5 / torch.linalg.vector_norm(true, dim=1).mean()
    terms = brain.loss(view, index=INDEX).terms
    assert torch.allclose(terms["chroma"], expected)
    assert not terms["chroma"].requires_grad
    classified = method()
    assert 0 <= float(classified.loss(made(classified, images), index=INDEX).terms["chroma"]) < 5
