"""Tiles with colours of their own, and colour channels that are moved against each other."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import resample
from ssl_models.views.patch_pairs import grid_boxes
from ssl_models.views.patches import cut_tiles
from ssl_models.views.tile_colours import change_tiles, cut_shifted, require_shift
from tests.ssl_models.test_views import seeded

torch.set_num_threads(1)

STILL = Augmentation(strength=0.0, hue=0.0, grey=0.0, flip=0.0)
BATCH, TILES, SIDE = 200, 4, 8


def numbered(batch: int, height: int = 32, width: int = 40) -> Tensor:
    """(B, 3, H, W) in [0, 1] coloured pictures in which each value occurs once."""
    count = 3 * height * width
    return (torch.arange(count).view(1, 3, height, width) / count).expand(batch, -1, -1, -1).contiguous()


def placed(batch: int = BATCH, margin: int = 2) -> Tensor:
    """(B, TILES, 4) boxes of whole pixels that keep a margin from the border of `numbered` pictures."""
    top = torch.randint(margin, 33 - SIDE - margin, (batch, TILES), generator=seeded(7))
    left = torch.randint(margin, 41 - SIDE - margin, (batch, TILES), generator=seeded(8))
    side = torch.full_like(top, SIDE)
    return torch.stack([top, left, side, side], dim=2).float()


def moves(pictures: Tensor, boxes: Tensor, cut: Tensor) -> Tensor:
    """(B, K, 3, 2) how far each channel of each tile was moved: by its first value, which stands at one place only."""
    _, _, height, width = pictures.shape
    number = (cut[..., 0, 0] * 3 * height * width).round().long() - torch.arange(3) * height * width
    places = torch.stack([number // width, number % width], dim=3)
    return places - boxes[:, :, None, :2].long()


# ---- jitter


def test_without_strength_grey_and_flips_tiles_stay_as_they_are() -> None:
    tiles = torch.rand(3, 9, 3, 6, 6, generator=seeded())
    torch.testing.assert_close(change_tiles(tiles, seeded(1), STILL), tiles, rtol=0, atol=1e-5)


def test_equal_tiles_of_a_picture_get_unequal_colours_in_the_range() -> None:
    tiles = torch.rand(1, 1, 3, 6, 6, generator=seeded()).expand(4, 9, -1, -1, -1)
    found = change_tiles(tiles, seeded(1), replace(STILL, strength=0.5, hue=0.5))
    assert found.shape == tiles.shape
    assert found.min() >= 0
    assert found.max() <= 1
    distance = (found.flatten(0, 1)[:, None] - found.flatten(0, 1)).flatten(2).abs().amax(2)
    changed = distance[0] > 1e-3
    alike = (distance < 1e-5).sum(1)
    assert changed.any()
    assert int((alike == 1).sum()) >= 20  # the 20 % that are not jittered are all alike, and nothing else is
    assert int(alike.max()) <= 16


@pytest.mark.parametrize("setting", ["grey", "flip"])
def test_some_tiles_of_a_picture_become_grey_or_are_flipped_and_others_do_not(setting: str) -> None:
    tiles = torch.rand(300, 9, 3, 6, 6, generator=seeded())
    found = change_tiles(tiles, seeded(1), replace(STILL, **{setting: 0.3}))
    if setting == "grey":
        luma = (tiles * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(2, keepdim=True).expand(tiles.shape)
    other = tiles.flip(4) if setting == "flip" else luma
    changed, kept = (((found - like).abs().flatten(2).amax(2) < 1e-5) for like in (other, tiles))
    assert (changed ^ kept).all()
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.04)
    assert float((changed.any(1) & kept.any(1)).float().mean()) > 0.9  # 0.96 of nine draws hold both


# ---- channels


def test_no_shift_is_the_plain_cut_and_draws_nothing() -> None:
    pictures, boxes, generator = numbered(3), placed(3), seeded()
    before = generator.get_state()
    found = cut_shifted(pictures, boxes, generator, tile=11, shift=0)
    assert torch.equal(found, resample(pictures, boxes, 11, 11, inside=True))
    assert torch.equal(generator.get_state(), before)


def test_each_channel_is_the_pictures_own_pixels_at_a_place_a_few_whole_pixels_away() -> None:
    pictures, boxes = torch.rand(5, 3, 32, 40, generator=seeded()), placed(5)
    moved = moves(numbered(5), boxes, cut_shifted(numbered(5), boxes, seeded(1), tile=SIDE, shift=2))
    found = cut_shifted(pictures, boxes, seeded(1), tile=SIDE, shift=2)  # with the same draws
    assert found.shape == (5, TILES, 3, SIDE, SIDE)
    for picture in range(5):
        for tile in range(TILES):
            for channel in range(3):
                top, left = (boxes[picture, tile, :2] + moved[picture, tile, channel]).long().tolist()
                own = pictures[picture, channel, top : top + SIDE, left : left + SIDE]
                torch.testing.assert_close(found[picture, tile, channel], own, rtol=0, atol=1e-5)


def test_moves_are_uniform_and_independent_between_tiles_channels_and_axes() -> None:
    boxes = placed()
    moved = moves(numbered(BATCH), boxes, cut_shifted(numbered(BATCH), boxes, seeded(1), tile=SIDE, shift=2))
    counts = (moved.flatten() + 2).bincount(minlength=5)
    assert len(counts) == 5
    assert (counts - 960).abs().max() < 140  # of 4,800; a deviation is 28
    drawn = moved.flatten(1).float()  # (B, TILES * 3 * 2)
    correlation = torch.corrcoef(drawn.T).fill_diagonal_(0)
    assert correlation.abs().max() < 0.35  # a deviation is 0.07


@pytest.mark.parametrize("shift", [1, 3])
def test_a_scaled_tile_keeps_within_the_values_that_lie_around_its_box(shift: int) -> None:
    pictures, boxes = torch.rand(20, 3, 32, 40, generator=seeded()), placed(20, margin=shift)
    found = cut_shifted(pictures, boxes, seeded(1), tile=13, shift=shift)
    wider = boxes + torch.tensor([-shift, -shift, 2 * shift, 2 * shift])
    for (picture, tile), (top, left, tall, wide) in zip(
        torch.cartesian_prod(torch.arange(20), torch.arange(TILES)).tolist(),
        wider.flatten(0, 1).int().tolist(),
        strict=True,
    ):
        around = pictures[picture, :, top : top + tall, left : left + wide].flatten(1)
        shown = found[picture, tile].flatten(1)
        assert (shown.amin(1) >= around.amin(1) - 1e-5).all()
        assert (shown.amax(1) <= around.amax(1) + 1e-5).all()


def test_grey_pictures_are_not_shifted_and_coloured_ones_of_the_same_batch_are() -> None:
    pictures = torch.rand(6, 3, 32, 40, generator=seeded())
    pictures[::2] = pictures[::2, :1]
    plain = cut_shifted(pictures, placed(6), seeded(), tile=SIDE, shift=0)
    found = cut_shifted(pictures, placed(6), seeded(), tile=SIDE, shift=2)
    assert torch.equal(found[::2], plain[::2])
    assert ((found - plain)[1::2].abs().flatten(1).amax(1) > 0.1).all()


@pytest.mark.parametrize("channels", [1, 4])
def test_pictures_without_three_channels_are_only_cut(channels: int) -> None:
    pictures = torch.rand(2, channels, 32, 40, generator=seeded())
    found = cut_shifted(pictures, placed(2), seeded(), tile=SIDE, shift=2)
    assert torch.equal(found, cut_shifted(pictures, placed(2), seeded(), tile=SIDE, shift=0))


# ---- no pixel of another tile


def test_no_channel_of_a_tile_shows_a_pixel_of_another_cell() -> None:
    colours = torch.rand(1, 3, 3, 3, generator=seeded())
    pictures = torch.nn.functional.interpolate(colours, scale_factor=16).expand(50, -1, -1, -1)
    tiles = cut_tiles(pictures, seeded(1), tile=16, gap=0.25, shift=2)
    expected = colours.flatten(2).mT.view(1, 9, 3, 1, 1).expand(50, -1, -1, 16, 16)
    torch.testing.assert_close(tiles, expected, rtol=0, atol=1e-5)


def test_a_tile_with_shifted_channels_is_as_large_and_takes_every_place_that_they_leave() -> None:
    rows = torch.arange(48.0)[:, None].expand(1, 3, 48, 48) + torch.tensor([0, 100, 200]).view(3, 1, 1)
    tiles = cut_tiles(rows.expand(300, -1, -1, -1), seeded(), tile=12, gap=0.25, shift=1)  # 12 of cells of 16
    offset = tiles[:, :, :, 0, 0] - torch.tensor([0, 100, 200]) - 16 * (torch.arange(9) // 3)[:, None]
    assert set(offset.round().flatten().tolist()) == {0, 1, 2, 3, 4}
    assert set((offset[..., 0] - offset[..., 1]).round().flatten().tolist()) == {-2, -1, 0, 1, 2}
    height = tiles[..., 11, 0] - tiles[..., 0, 0]
    torch.testing.assert_close(height, torch.full_like(height, 11.0), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("height", "width", "shift"), [(32, 40, 1), (96, 64, 2)])
def test_patches_on_a_grid_leave_room_for_the_shift(height: int, width: int, shift: int) -> None:
    boxes = grid_boxes(seeded(), 200, height, width, gap=0.35, jitter=0.1, shift=shift)
    for axis, extent in enumerate((height, width)):
        start, side = boxes[:, :, axis].view(200, 3, 3), boxes[0, 0, 2 + axis]
        start = start if axis == 0 else start.mT  # (B, place along the axis, place across it)
        assert start.min() >= shift
        assert start.max() + side <= extent - shift
        assert (start[:, 1:, None] - start[:, :-1, :, None] - side).min() >= 2 * shift


def test_a_negative_shift_is_refused() -> None:
    with pytest.raises(ValueError, match="channel_shift is -1; it must be at least 0"):
        require_shift(-1)


def test_a_generator_of_the_same_seed_moves_channels_alike() -> None:
    found = [cut_shifted(numbered(3), placed(3), Generator().manual_seed(seed), tile=9, shift=1) for seed in (4, 4, 5)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
