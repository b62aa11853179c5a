"""A grid of overlapping patches: where they lie, that they are exact, and that each is changed by itself."""

from __future__ import annotations

import pytest
import torch

from ssl_models.views.geometric import resample
from ssl_models.views.patch_grid import crop_patches, cut_patches, patch_places, require_patch_grid
from tests.ssl_models.test_views import seeded

torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("extent", "grid", "side", "stride"), [(256, 7, 64, 32), (32, 3, 16, 8), (32, 4, 14, 6), (32, 5, 12, 5)]
)
def test_patches_lie_as_in_the_paper_and_reach_from_end_to_end(extent: int, grid: int, side: int, stride: int) -> None:
    assert patch_places(extent, grid) == (side, stride)
    assert (grid - 1) * stride + side == extent
    assert side >= 2 * stride  # half of a patch at least is also its neighbour's


@pytest.mark.parametrize(("height", "width", "grid"), [(32, 32, 3), (32, 32, 4), (30, 41, 5)])
def test_a_patch_is_a_slice_of_the_picture_to_the_last_bit(height: int, width: int, grid: int) -> None:
    pictures = torch.rand(2, 3, height, width, generator=seeded())
    patches = cut_patches(pictures, grid=grid)
    (tall, down), (wide, across) = patch_places(height, grid), patch_places(width, grid)
    assert patches.shape == (2, grid, grid, 3, tall, wide)
    for row in range(grid):
        for column in range(grid):
            top, left = row * down, column * across
            assert torch.equal(patches[:, row, column], pictures[:, :, top : top + tall, left : left + wide])
    assert patches.data_ptr() == pictures.data_ptr()  # nothing was copied


def test_a_whole_patch_at_its_own_size_stays_as_it_is() -> None:
    pictures = torch.rand(2, 3, 32, 32, generator=seeded())
    patches = cut_patches(pictures, grid=3)
    tiles = crop_patches(patches, seeded(), tile=16, smallest=1.0, flip=0.0)
    torch.testing.assert_close(tiles, patches.flatten(0, 2), rtol=0, atol=1e-5)
    mirrored = crop_patches(patches, seeded(), tile=16, smallest=1.0, flip=1.0)
    torch.testing.assert_close(mirrored, patches.flatten(0, 2).flip(3), rtol=0, atol=1e-5)


def test_scaling_a_patch_is_resampling_its_box_and_reading_nothing_beyond() -> None:
    pictures = torch.rand(2, 3, 32, 32, generator=seeded())
    tiles = crop_patches(cut_patches(pictures, grid=4), seeded(), tile=20, smallest=1.0, flip=0.0)
    boxes = torch.tensor([[6.0 * row, 6.0 * column, 14.0, 14.0] for row in range(4) for column in range(4)])
    expected = resample(pictures, boxes.expand(2, -1, -1), 20, 20, inside=True).flatten(0, 1)
    torch.testing.assert_close(tiles, expected, rtol=0, atol=1e-5)


def test_a_tile_sees_no_pixel_beyond_its_patch() -> None:
    pictures = torch.zeros(64, 1, 32, 32)
    pictures[:, :, 8:24, 8:24] = 1  # the middle patch of a grid of 3, to the pixel
    tiles = crop_patches(cut_patches(pictures, grid=3), seeded(), tile=16, smallest=0.3, flip=0.5)
    middle = tiles.view(64, 3, 3, 16, 16)[:, 1, 1]
    torch.testing.assert_close(middle, torch.ones(64, 16, 16))


def test_every_patch_of_every_picture_is_cropped_and_flipped_by_itself() -> None:
    ramp = torch.linspace(0, 1, 16)
    patches = ramp.expand(8, 3, 3, 1, 16, 16)  # all alike, dark on the left
    tiles = crop_patches(patches, seeded(), tile=16, smallest=0.3, flip=0.5)
    assert tiles.shape == (72, 1, 16, 16)
    assert len({float(tile.sum()) for tile in tiles}) > 65
    flipped = tiles[:, 0, 0, 0] > tiles[:, 0, 0, 15]
    assert 20 < int(flipped.sum()) < 52
    assert len(set(flipped.view(8, 9).sum(1).tolist())) > 1


@pytest.mark.parametrize(
    ("shape", "grid", "tile", "message"),
    [
        ((3, 32, 32), 1, 16, "grid is 1; cpc needs at least 2"),
        ((3, 32, 32), 8, 16, "grid is 8; cpc needs pictures of at least 36 px .* these are 32 x 32"),
        ((3, 64, 15), 3, 16, "at least 16 px .* these are 64 x 15"),
        ((3, 32, 32), 3, 0, "tile is 0"),
        ((10,), 3, 16, r"cpc needs pictures of shape \(C, H, W\)"),
    ],
)
def test_a_grid_that_makes_no_patches_is_refused(shape: tuple[int, ...], grid: int, tile: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_patch_grid(shape, grid=grid, tile=tile, method="cpc")


def test_the_smallest_allowed_picture_has_patches_of_eight_pixels() -> None:
    for grid in range(2, 9):
        extent = 4 * (grid + 1)
        require_patch_grid((1, extent, extent), grid=grid, tile=16, method="cpc")
        assert patch_places(extent, grid) == (8, 4)
