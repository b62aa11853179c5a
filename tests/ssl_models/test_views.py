"""Views: exact where they can be, drawn for each sample, and the same for the same seed."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.views.geometric import (
    four_rotations,
    random_boxes,
    random_crop_flip,
    resample,
    rotate,
)
from ssl_models.views.photometric import (
    LUMA,
    adjust_colour,
    colour_jitter,
    gaussian_blur,
    random_blur,
    random_grey,
)

torch.set_num_threads(1)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def pictures() -> Tensor:
    return torch.rand(6, 3, 24, 32, generator=seeded(7))


def box(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 4)


# ---- geometry


def test_resampling_the_whole_picture_changes_nothing(pictures: Tensor) -> None:
    whole = box(0, 0, 24, 32).expand(6, 1, 4)
    torch.testing.assert_close(resample(pictures, whole, 24, 32)[:, 0], pictures)


def test_a_negative_width_is_a_left_right_flip(pictures: Tensor) -> None:
    flipped = resample(pictures, box(0, 32, 24, -32).expand(6, 1, 4), 24, 32)[:, 0]
    torch.testing.assert_close(flipped, pictures.flip(3))


def test_a_whole_number_box_is_a_slice(pictures: Tensor) -> None:
    cut = resample(pictures, box(3, 5, 8, 10).expand(6, 1, 4), 8, 10)[:, 0]
    torch.testing.assert_close(cut, pictures[:, :, 3:11, 5:15])


def test_resample_interpolates_as_worked_by_hand() -> None:
    row = torch.tensor([0.0, 1.0, 3.0, 7.0]).view(1, 1, 1, 4)
    # four samples of the middle two pixels: places 1.25, 1.75, 2.25, 2.75, centres at 1.5 and 2.5
    assert resample(row, box(0, 1, 1, 2), 1, 4).flatten().tolist() == pytest.approx([0.75, 1.5, 2.5, 4.0])
    inside = resample(row, box(0, 1, 1, 2), 1, 4, inside=True)
    assert inside.flatten().tolist() == pytest.approx([1.0, 1.5, 2.5, 3.0])


def test_boxes_lie_in_the_picture_and_have_the_area_and_aspect_asked_for() -> None:
    top, left, tall, wide = random_boxes(seeded(), 4000, 48, 32, smallest=0.25, flip=0.5)[:, 0].unbind(1)
    first, last = torch.minimum(left, left + wide), torch.maximum(left, left + wide)
    assert top.min() >= 0
    assert (top + tall).max() <= 48.001
    assert first.min() >= -0.001
    assert last.max() <= 32.001
    area = tall * wide.abs() / (48 * 32)
    assert area.min() == pytest.approx(0.25, abs=0.01)
    assert area.max() == pytest.approx(1, abs=0.01)
    assert area.mean() == pytest.approx(0.625, abs=0.02)
    aspect = (wide.abs() / 32) / (tall / 48)
    assert aspect.min() >= 0.749
    assert aspect.max() <= 4 / 3 + 0.001
    assert (wide < 0).float().mean() == pytest.approx(0.5, abs=0.04)


def test_a_smallest_area_of_one_is_no_crop() -> None:
    boxes = random_boxes(seeded(), 5, 48, 32, smallest=1.0, flip=0.0)[:, 0]
    torch.testing.assert_close(boxes, torch.tensor([0.0, 0.0, 48.0, 32.0]).expand(5, 4))


def test_each_sample_has_its_own_crop_and_the_seed_decides() -> None:
    same = torch.rand(1, 3, 32, 32, generator=seeded()).expand(8, -1, -1, -1)
    view = random_crop_flip(same, seeded(1), smallest=0.2)
    assert len({float(sample.sum()) for sample in view}) == 8
    torch.testing.assert_close(view, random_crop_flip(same, seeded(1), smallest=0.2), rtol=0, atol=0)
    assert not torch.equal(view, random_crop_flip(same, seeded(2), smallest=0.2))


def test_a_crop_stays_between_the_extremes_of_its_picture(pictures: Tensor) -> None:
    view = random_crop_flip(pictures, seeded(), smallest=0.1)
    assert view.shape == pictures.shape
    assert (view.amax((2, 3)) <= pictures.amax((2, 3)) + 1e-6).all()
    assert (view.amin((2, 3)) >= pictures.amin((2, 3)) - 1e-6).all()


def test_four_quarter_turns_give_the_picture_back() -> None:
    square = torch.rand(5, 2, 16, 16, generator=seeded())
    turned = square
    for _ in range(4):
        turned = rotate(turned, torch.ones(5, dtype=torch.long))
    assert torch.equal(turned, square)


def test_rotate_turns_each_sample_by_its_own_number() -> None:
    square = torch.rand(4, 3, 8, 8, generator=seeded())
    turns = torch.tensor([2, 0, 3, 1])
    expected = torch.stack([torch.rot90(square[i], int(turns[i]), (1, 2)) for i in range(4)])
    assert torch.equal(rotate(square, turns), expected)
    assert torch.equal(four_rotations(square)[4 * 3 + 2], torch.rot90(square[2], 3, (1, 2)))


# ---- colour


def adjusted(images: Tensor, **factors: float) -> Tensor:
    values = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0} | factors
    return adjust_colour(images, **{name: torch.full((len(images),), value) for name, value in values.items()})


def test_neutral_factors_change_nothing(pictures: Tensor) -> None:
    torch.testing.assert_close(adjusted(pictures), pictures)


def test_jitter_of_no_strength_changes_nothing(pictures: Tensor) -> None:
    torch.testing.assert_close(colour_jitter(pictures, seeded(), strength=0, hue=0), pictures)


def test_jitter_of_no_probability_changes_nothing(pictures: Tensor) -> None:
    torch.testing.assert_close(colour_jitter(pictures, seeded(), strength=1, hue=0.5, probability=0), pictures)


def test_brightness_multiplies(pictures: Tensor) -> None:
    torch.testing.assert_close(adjusted(pictures, brightness=0.5), pictures / 2)
    torch.testing.assert_close(adjusted(pictures, brightness=3.0), (3 * pictures).clamp(max=1))


def test_contrast_zero_leaves_the_mean_grey(pictures: Tensor) -> None:
    grey = (pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1).mean((1, 2))
    expected = grey.view(-1, 1, 1, 1).expand_as(pictures)
    torch.testing.assert_close(adjusted(pictures, contrast=0.0), expected)


def test_saturation_zero_is_greyscale(pictures: Tensor) -> None:
    grey = (pictures * torch.tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(pictures)
    torch.testing.assert_close(adjusted(pictures, saturation=0.0), grey, rtol=0, atol=2e-4)
    torch.testing.assert_close(random_grey(pictures, seeded(), 1.0), grey)


def test_a_full_turn_of_hue_changes_nothing_and_half_a_turn_makes_the_complement(pictures: Tensor) -> None:
    muted = 0.4 + 0.2 * pictures  # far from the clamp
    torch.testing.assert_close(adjusted(muted, hue=1.0), muted, rtol=0, atol=1e-5)
    reddish = torch.tensor([0.6, 0.5, 0.5]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    red, green, blue = adjusted(reddish, hue=0.5)[0, :, 0, 0].tolist()
    grey = 0.299 * 0.6 + 0.701 * 0.5
    assert (red, green, blue) == pytest.approx((2 * grey - 0.6, 2 * grey - 0.5, 2 * grey - 0.5), abs=1e-4)


def test_no_turn_of_hue_changes_the_grey(pictures: Tensor) -> None:
    muted = 0.4 + 0.2 * pictures
    luma = torch.tensor(LUMA).view(1, 3, 1, 1)
    for turn in (0.1, -0.3, 0.5):
        torch.testing.assert_close((adjusted(muted, hue=turn) * luma).sum(1), (muted * luma).sum(1), rtol=0, atol=2e-4)


def test_full_hue_jitter_reaches_every_sixth_of_the_colour_circle() -> None:
    red = torch.tensor([0.7, 0.4, 0.4]).view(1, 3, 1, 1).expand(300, 3, 1, 1)
    view = colour_jitter(red, seeded(), strength=0, hue=0.5, probability=1)
    sixths = [math.floor(6 * colorsys.rgb_to_hsv(*sample.flatten().tolist())[0]) % 6 for sample in view]
    assert set(sixths) == set(range(6))


def test_colour_is_drawn_for_each_sample_and_the_seed_decides() -> None:
    same = torch.rand(1, 3, 8, 8, generator=seeded()).expand(8, -1, -1, -1)
    view = colour_jitter(same, seeded(3), strength=0.5, hue=0.5, probability=1)
    assert len({float(sample.sum()) for sample in view}) == 8
    assert torch.equal(view, colour_jitter(same, seeded(3), strength=0.5, hue=0.5, probability=1))
    assert view.min() >= 0
    assert view.max() <= 1


def test_grey_comes_with_its_probability() -> None:
    colourful = torch.tensor([0.7, 0.4, 0.2]).view(1, 3, 1, 1).expand(2000, 3, 1, 1)
    for view in (
        colour_jitter(colourful, seeded(), strength=0, hue=0, grey=0.3),
        random_grey(colourful, seeded(), 0.3),
    ):
        assert ((view.amax(1) - view.amin(1)) < 1e-3).float().mean() == pytest.approx(0.3, abs=0.04)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_data_without_three_channels_get_light_but_no_colour(channels: int) -> None:
    images = torch.rand(4, channels, 8, 8, generator=seeded())
    torch.testing.assert_close(adjusted(images, hue=0.3, saturation=0.0), images)
    torch.testing.assert_close(adjusted(images, brightness=0.5), images / 2)
    torch.testing.assert_close(random_grey(images, seeded(), 1.0), images)


def test_blur_keeps_flat_pictures_and_spreads_a_point() -> None:
    flat = torch.full((2, 3, 9, 9), 0.6)
    torch.testing.assert_close(gaussian_blur(flat, torch.tensor([0.0, 2.0])), flat)
    point = torch.zeros(2, 1, 17, 17)
    point[:, :, 8, 8] = 1
    still, spread = gaussian_blur(point, torch.tensor([0.0, 1.0]))
    assert torch.equal(still, point[0])
    assert float(spread[0, 8, 9] / spread[0, 8, 8]) == pytest.approx(math.exp(-0.5), rel=1e-3)
    assert float(spread.sum()) == pytest.approx(1, rel=1e-3)
    torch.testing.assert_close(random_blur(point, seeded(), 0.0), point)
