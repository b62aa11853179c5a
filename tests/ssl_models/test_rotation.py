"""RotNet: the four turns are exact, and each is labelled by its number."""

from __future__ import annotations

import math

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.rotation import Rotation
from ssl_models.modalities.image import MildViews

torch.set_num_threads(1)


def method(side: int = 16, **settings: float) -> Rotation:
    torch.manual_seed(0)
    return Rotation(ResNet(depth=10, width=4), DataSpec(20, {"images": (3, side, 16)}), **settings)


def test_views_are_the_batch_at_the_four_turns() -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    (view,) = method(smallest_crop=1.0, flip=0.0).views(images, torch.Generator())
    assert view.shape == (20, 3, 16, 16)
    for turns in range(4):
        expected = torch.rot90(images / 255, turns, (2, 3))
        torch.testing.assert_close(view[5 * turns : 5 * turns + 5], expected, rtol=0, atol=1e-5)


def test_the_crop_is_drawn_before_the_turns_and_shared_by_them() -> None:
    images = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8)
    (view,) = method().views(images, torch.Generator().manual_seed(0))
    for turns in range(4):
        assert torch.equal(view[5 * turns : 5 * turns + 5], torch.rot90(view[:5], turns, (2, 3)))


def test_the_label_is_the_number_of_turns() -> None:
    rotation = method().eval()
    # A corner marks the turn; an encoder that reads the corners answers as it should.
    images = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    images[:, :, 0, 0] = 255
    corners = [(0, 0), (15, 0), (15, 15), (0, 15)]  # where rot90 takes the top left corner

    class Corners(torch.nn.Module):
        def forward(self, view: torch.Tensor) -> torch.Tensor:
            return torch.stack([view[:, 0, row, column] for row, column in corners], dim=1)

    rotation.encoder = Corners()  # type: ignore[assignment]
    rotation.head = torch.nn.Linear(4, 4)
    torch.nn.init.eye_(rotation.head.weight)
    torch.nn.init.zeros_(rotation.head.bias)
    rotation.mild_views = MildViews(1.0, 0.0)
    terms = rotation.loss(*rotation.views(images, torch.Generator()), index=torch.arange(3))
    assert float(terms["accuracy"]) == 1
    assert float(terms["loss"].detach()) == pytest.approx(math.log(math.e + 3) - 1, rel=1e-4)


def test_chance_is_log_four() -> None:
    assert method().chance == pytest.approx(math.log(4))


def test_pictures_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="square ones, not 12 x 16"):
        method(side=12)
    with pytest.raises(ValueError, match=r"smallest_crop is 1.5"):
        method(smallest_crop=1.5)
