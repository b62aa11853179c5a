"""Multi-crop: places and areas of the crops, told by the pictures themselves; rows, and one call for each size."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.parallel.view_shares import in_order
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import Share
from ssl_models.views.multi_crop import MultiCrop, of_each

torch.set_num_threads(1)

PLAIN = Augmentation(smallest_crop=0.4, flip=0.5, strength=0.0, hue=0.0, grey=0.0, size=(16, 24))


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def places(batch: int, height: int = 64, width: int = 96) -> Tensor:
    """(B, 2, H, W): a pixel's values are how far down and across its centre lies, as shares of the picture."""
    down = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    across = ((torch.arange(width) + 0.5) / width).expand(height, width)
    return torch.stack([down, across]).expand(batch, 2, height, width)


def shares(view: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 2, h, w) crops of `places` -> the shares (B,) of the picture's height and width that they show.

    From the middle half of each, since the border repeats itself within half a pixel of the picture's end.
    """
    height, width = view.shape[2:]
    rows, columns = slice(height // 4, 3 * height // 4), slice(width // 4, 3 * width // 4)
    tall = view[:, 0, rows].diff(dim=1).mean((1, 2)) * height
    wide = view[:, 1, :, columns].diff(dim=2).mean((1, 2)).abs() * width
    return tall, wide


# ---- crops


def test_small_views_are_half_as_wide_and_high_and_lie_below_one_another() -> None:
    made = MultiCrop.of(PLAIN, small_crops=3)(places(5), seeded())
    assert [view.shape for view in made] == [(5, 2, 16, 24), (5, 2, 16, 24), (15, 2, 8, 12)]


@pytest.mark.parametrize(("size", "half"), [((32, 32), (16, 16)), ((15, 9), (7, 4)), ((1, 3), (1, 1))])
def test_odd_sides_are_halved_downwards_and_no_side_vanishes(size: tuple[int, int], half: tuple[int, int]) -> None:
    assert MultiCrop.of(replace(PLAIN, size=size), small_crops=1).small.size == half


def test_the_areas_of_small_crops_end_where_those_of_large_ones_begin() -> None:
    """The pictures' values tell what part of them a crop shows."""
    *large, small = MultiCrop.of(PLAIN, small_crops=4, smallest_small_crop=0.1)(places(400), seeded())
    for view, least, most in ((large[0], 0.4, 1.0), (large[1], 0.4, 1.0), (small, 0.1, 0.4)):
        tall, wide = shares(view)
        area = tall * wide
        assert area.min() == pytest.approx(least, abs=0.02)
        assert area.max() == pytest.approx(most, abs=0.02)
        assert area.mean() == pytest.approx((least + most) / 2, abs=0.03)


def test_small_crops_lie_in_the_picture_and_reach_every_corner() -> None:
    *_, small = MultiCrop.of(PLAIN, small_crops=4)(places(400), seeded())
    tall, wide = shares(small)
    for axis, extent in ((0, tall), (1, wide)):
        middle = small[:, axis].mean((1, 2))
        assert (middle - extent / 2).min() == pytest.approx(0, abs=0.02)
        assert (middle + extent / 2).max() == pytest.approx(1, abs=0.02)
        reach = (middle - extent / 2) / (1 - extent)  # of the room that there is, where it begins
        assert reach.mean() == pytest.approx(0.5, abs=0.03)


def test_the_small_crops_of_a_picture_are_drawn_apart_and_some_are_flipped() -> None:
    *_, small = MultiCrop.of(PLAIN, small_crops=3)(places(50), seeded())
    one, two, three = small.view(3, 50, -1)
    for first, second in ((one, two), (one, three), (two, three)):
        assert ((first - second).abs().amax(1) > 0.005).all()
    flipped = (small[:, 1].diff(dim=2).mean((1, 2)) < 0).float().mean()
    assert flipped == pytest.approx(0.5, abs=0.15)


def test_only_the_second_view_is_solarised() -> None:
    bright = torch.full((20, 3, 32, 48), 0.75)
    first, second, small = MultiCrop.of(PLAIN, solarise=1.0, small_crops=2)(bright, seeded())
    for view, value in ((first, 0.75), (second, 0.25), (small, 0.75)):
        torch.testing.assert_close(view, torch.full_like(view, value))


def test_without_small_crops_there_are_two_views_that_draw_as_two_augmentations() -> None:
    pictures = torch.rand(6, 3, 32, 48, generator=seeded(1))
    augment, ours, plain = replace(PLAIN, strength=0.5, hue=0.5), seeded(2), seeded(2)
    made = MultiCrop.of(augment)(pictures, ours)
    expected = augment(pictures, plain), augment(pictures, plain)
    assert all(torch.equal(*pair) for pair in zip(made, expected, strict=True))
    assert torch.equal(ours.get_state(), plain.get_state())


def test_small_crops_are_drawn_after_the_large_ones_which_stay_as_they_were() -> None:
    pictures = torch.rand(6, 3, 32, 48, generator=seeded(1))
    without, made = (MultiCrop.of(PLAIN, small_crops=count)(pictures, seeded(2)) for count in (0, 2))
    assert all(torch.equal(*pair) for pair in zip(without, made[:2], strict=True))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_layout_is_how_the_rows_lie(count: int) -> None:
    """Each picture is one value: its own number. And parts of a batch join to the whole."""
    numbers = torch.arange(6.0).view(6, 1, 1, 1) / 8
    crops = MultiCrop.of(PLAIN, small_crops=count)
    made = crops(numbers.expand(6, 3, 32, 48), seeded())
    assert len(crops.layout) == len(made)
    for blocks, view in zip(crops.layout, made, strict=True):
        values = view[:, 0, 0, 0] * 8
        torch.testing.assert_close(values, torch.arange(6.0).repeat(blocks), rtol=0, atol=1e-4)
    pictures = places(6)
    whole = crops(pictures, seeded(3))
    parts = [crops(pictures[2 * n :][:2], Share("cpu", n, 3).manual_seed(3)) for n in range(3)]
    for blocks, view, *found in zip(crops.layout, whole, *parts, strict=True):
        torch.testing.assert_close(in_order(torch.cat(found), blocks, 3), view, rtol=0, atol=1e-6)


# ---- refusals


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="a multi-crop needs the size of its large views"):
        MultiCrop.of(replace(PLAIN, size=None), small_crops=2)
    with pytest.raises(ValueError, match="small_crops is -1; it must be at least 0"):
        MultiCrop.of(PLAIN, small_crops=-1)


@pytest.mark.parametrize("area", [0.0, -0.1, 0.41, 1.0, float("nan")])
def test_an_area_of_small_crops_out_of_range_is_refused(area: float) -> None:
    words = rf"smallest_small_crop is {area}; it must be over 0, and at most smallest_crop, 0\.4"
    with pytest.raises(ValueError, match=words):
        MultiCrop.of(PLAIN, small_crops=2, smallest_small_crop=area)


def test_an_area_that_nothing_is_cut_by_is_not_asked_about() -> None:
    assert MultiCrop.of(replace(PLAIN, smallest_crop=0.05)).layout == (1, 1)


# ---- networks


class Counted:
    """A network whose vector is the mean of a crop's pixels and their number; it keeps the shapes that it was given."""

    def __init__(self) -> None:
        self.called: list[tuple[int, ...]] = []

    def __call__(self, crops: Tensor) -> Tensor:
        self.called.append(tuple(crops.shape))
        return torch.stack([crops.mean((1, 2, 3)), torch.full((len(crops),), float(crops[0].numel()))], dim=1)


def test_a_network_is_called_once_for_each_size_and_gives_crops_in_the_order_of_views() -> None:
    numbers = torch.arange(20.0)
    first, second, small = numbers[:4], numbers[4:8], numbers[8:]
    views = [part.view(-1, 1, 1, 1).expand(-1, 3, side, side) for part, side in ((first, 8), (second, 8), (small, 4))]
    network = Counted()
    found = of_each(network, views, 4)
    assert network.called == [(8, 3, 8, 8), (12, 3, 4, 4)]
    assert [len(each) for each in found] == [4] * 5
    assert torch.cat(found)[:, 0].tolist() == numbers.tolist()
    assert [int(each[0, 1]) for each in found] == [192, 192, 48, 48, 48]


def test_crops_of_one_size_are_one_call() -> None:
    network = Counted()
    assert len(of_each(network, [torch.rand(4, 3, 1, 1), torch.rand(4, 3, 1, 1), torch.rand(8, 3, 1, 1)], 4)) == 4
    assert network.called == [(16, 3, 1, 1)]


def test_batch_statistics_are_those_of_all_crops_of_a_size() -> None:
    norm = torch.nn.BatchNorm1d(3, affine=False)
    views = [torch.rand(4, 3, generator=seeded(seed)) for seed in (0, 1)]
    both = torch.cat(views)
    expected = (both - both.mean(0)) / (both.var(0, correction=0) + norm.eps).sqrt()
    torch.testing.assert_close(torch.cat(of_each(norm, views, 4)), expected)
