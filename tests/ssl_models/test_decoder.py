"""The decoder reaches every size, and its error is what a constant would cost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ssl_models.decoder import Decoder, painting_target, unexplained
from ssl_models.encoders.resnet import ResNet
from ssl_models.encoders.shapes import map_shapes
from ssl_models.views.corruption import mean_colour

torch.set_num_threads(1)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [2, 4, 17, 30, 32, (24, 32)])
def test_every_size_is_reached(side: int | tuple[int, int]) -> None:
    height, width = (side, side) if isinstance(side, int) else side
    start = 2
    maps = numbers(3, 8, start, start * width // height)
    assert Decoder(8, 3, side, start=start, width=16)(maps).shape == (3, 3, height, width)


def test_a_decoder_learns_a_picture_to_the_pixel() -> None:
    torch.manual_seed(0)
    decoder = Decoder(8, 1, 8, start=2, width=16)
    maps, pictures = numbers(4, 8, 2, 2), numbers(4, 1, 8, 8, seed=1)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=0.03)
    for _ in range(120):
        error = unexplained(decoder(maps), pictures, torch.ones(1))
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert float(error.detach()) < 0.1


def test_map_shapes_are_those_of_the_encoder_and_leave_no_trace() -> None:
    encoder = ResNet(depth=10, width=4)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    shapes = map_shapes(encoder, (3, 24, 32))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert all(part.training for part in encoder.modules())
    assert shapes == {name: tuple(maps.shape[1:]) for name, maps in encoder.layers(numbers(2, 3, 24, 32)).items()}
    assert map_shapes(encoder, (3, 16, 16))["res5"] == (32, 1, 1)


def test_unexplained_by_hand() -> None:
    # Mean of 0, 2, 4 is 2 and the spread 8; the fourth value has no weight. Errors 1, 0, 2 make 5.
    target = torch.tensor([0.0, 2.0, 4.0, 100.0]).view(1, 1, 2, 2)
    prediction = torch.tensor([1.0, 2.0, 2.0, 0.0]).view(1, 1, 2, 2)
    weight = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(1, 1, 2, 2)
    assert float(unexplained(prediction, target, weight)) == pytest.approx(5 / 8)


def test_unexplained_is_the_quotient_of_two_sums() -> None:
    target, prediction, weight = numbers(3, 2, 4, 4), numbers(3, 2, 4, 4, seed=1), numbers(3, 1, 4, 4, seed=2)
    error = spread = 0.0
    for channel in range(2):
        values, guesses = target[:, channel].flatten(), prediction[:, channel].flatten()
        weights = weight[:, 0].flatten()
        mean = float((weights * values).sum() / weights.sum())
        for value, guess, share in zip(values.tolist(), guesses.tolist(), weights.tolist(), strict=True):
            error += share * (value - guess) ** 2
            spread += share * (value - mean) ** 2
    assert float(unexplained(prediction, target, weight)) == pytest.approx(error / spread, rel=1e-4)


def test_the_best_constant_is_chance_and_perfection_costs_nothing() -> None:
    target = numbers(5, 3, 8, 8)
    constant = target.mean((0, 2, 3), keepdim=True).expand_as(target)
    assert float(unexplained(constant, target, torch.ones(1))) == pytest.approx(1, rel=1e-5)
    assert float(unexplained(target, target, torch.ones(1))) == 0
    assert float(unexplained(3 * constant, 3 * target, 7 * torch.ones(1))) == pytest.approx(1, rel=1e-5)
    assert unexplained(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4), torch.zeros(1)).isfinite()


def test_a_target_knows_neither_brightness_nor_contrast_unless_asked() -> None:
    pictures = numbers(4, 3, 8, 8)
    dim = 0.5 * pictures + 0.3
    target = painting_target(pictures, mean_colour(pictures), normalise=True)
    torch.testing.assert_close(target.mean((2, 3)), torch.zeros(4, 3), rtol=0, atol=1e-5)
    assert target.square().mean().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(painting_target(dim, mean_colour(dim), normalise=True), target, rtol=0, atol=0.1)
    blank = torch.full((1, 3, 8, 8), 0.7)
    assert painting_target(blank, mean_colour(blank), normalise=True).abs().max() < 1e-4
    plain = painting_target(torch.tensor([0.0, 0.5, 1.0]), torch.zeros(1), normalise=False)
    assert plain.tolist() == [-2, 0, 2]
