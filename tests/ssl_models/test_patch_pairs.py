"""Pairs of patches: neighbours on a grid, near and far ones, and what is left of their colours."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.views.geometric import resample
from ssl_models.views.patch_pairs import (
    DIRECTIONS,
    drop_colours,
    flip_boxes,
    grid_boxes,
    grid_layout,
    grid_pairs,
    near_far_boxes,
    project_colours,
    require_grid,
    require_near_far,
)
from tests.ssl_models.test_views import seeded

torch.set_num_threads(1)

NEAR_FAR = {"patch": 0.375, "near": 0.33, "far": 1.0}  # of 32 px: sides of 12, near within 4, far from 12 on


# ---- neighbours on a grid


def test_the_pairs_of_the_centre_are_its_eight_neighbours_in_the_order_of_their_classes() -> None:
    assert grid_pairs(centre_only=True).tolist() == [[4, place, i] for i, place in enumerate([0, 1, 2, 3, 5, 6, 7, 8])]


def test_the_pairs_of_the_grid_are_all_neighbours_in_both_orders() -> None:
    pairs = grid_pairs(centre_only=False)
    expected = set()
    for first in range(9):
        for second in range(9):
            step = (second // 3 - first // 3, second % 3 - first % 3)
            if step != (0, 0) and max(map(abs, step)) == 1:
                expected.add((first, second, DIRECTIONS.index(step)))
    assert len(pairs) == len(expected) == 40
    assert {tuple(pair) for pair in pairs.tolist()} == expected
    back = {(second, first, 7 - number) for first, second, number in expected}  # the opposite direction's number
    assert back == expected


@pytest.mark.parametrize(
    ("extent", "gap", "jitter", "layout"),
    [
        (31, 0.5, 0.073, (7, 4, 1)),  # 21 of patches, 8 between, 2 of jitter
        (30, 0.5, 0.073, (6, 3, 0)),
        (32, 0.35, 0.1, (8, 3, 1)),  # 24 + 6 + 2
        (24, 0.0, 0.0, (8, 0, 0)),
        (400, 0.5, 0.073, (96, 48, 7)),  # the paper's: 288 + 96 + 14 fit, and 97 would take 401
        (35, 0.35, 0.175, (9, 3, 1)),  # a jitter of 2 (1.575) would let patches overlap
        (2, 0.0, 0.0, (0, 0, 0)),
    ],
)
def test_patches_are_the_largest_that_fit(extent: int, gap: float, jitter: float, layout: tuple[int, ...]) -> None:
    assert grid_layout(extent, gap, jitter) == layout


def test_patches_lie_on_a_grid_with_gaps_and_a_jitter_of_their_own() -> None:
    boxes = grid_boxes(seeded(), 500, 34, 40, gap=0.35, jitter=0.1)  # sides 8 and 10, gaps 3 and 4 (3.5), moved by 1
    layouts = (grid_layout(34, 0.35, 0.1), grid_layout(40, 0.35, 0.1))
    assert layouts == ((8, 3, 1), (10, 4, 1))
    for axis, (extent, (side, between, moved)) in enumerate(zip((34, 40), layouts, strict=True)):
        start = boxes[:, :, axis].view(500, 3, 3)
        start = start if axis == 0 else start.mT  # (B, place along the axis, place across it)
        assert torch.equal(boxes[:, :, 2 + axis], torch.full((500, 9), float(side)))
        assert torch.equal(start, start.round())
        assert start.min() == 0
        assert start.max() + side == extent
        gaps = start[:, 1:, None] - start[:, :-1, :, None] - side  # every patch to each of the row before
        assert gaps.min() == between - 2 * moved
        assert gaps.max() == between + 2 * moved
    shifts = boxes[:, :, 0] - boxes[:, :1, 0]
    assert len(shifts.unique(dim=0)) > 450  # patches and samples move independently


def test_the_jitter_of_a_patch_is_uniform() -> None:
    boxes = grid_boxes(seeded(), 3000, 32, 32, gap=0.35, jitter=0.1)  # the grid fills the picture: only jitter is left
    counts = torch.stack([(boxes[:, 4, :2] == place).sum(0) for place in (11, 12, 13)])
    assert int(counts.sum()) == 6000
    assert (counts - 1000).abs().max() < 110  # a deviation is 26


@pytest.mark.parametrize(
    ("shape", "gap", "jitter", "message"),
    [
        ((3, 32, 32), 0.2, 0.15, r"jitter is 0.15; it must be at most half the gap of 0.2"),
        ((3, 32, 32), 1.2, 0.1, r"gap is 1.2; it must lie in \[0, 1\]"),
        ((3, 32, 32), 0.5, -0.1, r"jitter is -0.1; it must lie in \[0, 1\]"),
        ((3, 32, 16), 0.35, 0.1, r"m cuts nine patches of at least 5 px; pictures of 32 x 16 .* leave 4 px"),
        ((100,), 0.35, 0.1, r"m needs pictures"),
    ],
)
def test_grids_that_cannot_be_are_refused(shape: tuple[int, ...], gap: float, jitter: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_grid(shape, gap=gap, jitter=jitter, method="m")
    require_grid((3, 32, 32), gap=0.35, jitter=0.1, method="m")


# ---- near and far


def distances(boxes: Tensor, first: int, second: int) -> Tensor:
    """(B, 2) offsets of two of the patches along each axis."""
    return (boxes[:, first, :2] - boxes[:, second, :2]).abs()


def test_near_patches_are_near_far_ones_are_far_and_all_lie_in_the_picture() -> None:
    boxes = near_far_boxes(seeded(), 4000, 32, 40, **NEAR_FAR)  # near within 4 and 5, far from 12 and 15 on
    start, side = boxes[:, :, :2], boxes[:, :, 2:]
    assert torch.equal(side, torch.tensor([12.0, 15.0]).expand(4000, 4, 2))
    assert torch.equal(start, start.round())
    assert start.amin((0, 1)).tolist() == [0, 0]
    assert (start + side).amax((0, 1)).tolist() == [32, 40]
    for pair in ((0, 1), (2, 3)):
        assert distances(boxes, *pair).amax(0).tolist() == [4, 5]
        assert distances(boxes, *pair).amin(0).tolist() == [0, 0]
    apart = torch.stack([distances(boxes, first, second) for first in (0, 1) for second in (2, 3)])  # (4, B, 2)
    vertical, horizontal = (apart[:, :, 0] >= 12).all(0), (apart[:, :, 1] >= 15).all(0)
    assert (vertical | horizontal).all()
    assert float((vertical & ~horizontal).float().mean()) > 0.3
    assert float((horizontal & ~vertical).float().mean()) > 0.3


def test_no_patch_of_a_pair_is_always_the_upper_nor_is_a_pair() -> None:
    top = near_far_boxes(seeded(), 4000, 32, 32, **NEAR_FAR)[:, :, 0]
    for first, second in ((0, 1), (2, 3), (0, 2)):
        above, below = (top[:, first] < top[:, second]).float().mean(), (top[:, first] > top[:, second]).float().mean()
        assert float(above) == pytest.approx(float(below), abs=0.05)


def test_the_places_differ_from_sample_to_sample() -> None:
    boxes = near_far_boxes(seeded(), 200, 32, 32, **NEAR_FAR)
    assert len(boxes.flatten(1).unique(dim=0)) > 195
    assert torch.equal(boxes, near_far_boxes(seeded(), 200, 32, 32, **NEAR_FAR))


def test_a_patch_shows_its_own_pixels_only_and_a_flip_mirrors_it() -> None:
    number = torch.arange(32.0)
    picture = torch.stack([number[:, None].expand(32, 32), number.expand(32, 32)])[None].expand(64, -1, -1, -1)
    boxes = near_far_boxes(seeded(), 64, 32, 32, **NEAR_FAR)
    shown = resample(picture, boxes, 12, 12, inside=True)  # a side of 12 is not scaled: pixels are copied
    inside = boxes[:, :, :2, None] + torch.arange(12.0)  # (B, 4, 2, 12) rows and columns
    torch.testing.assert_close(shown[:, :, 0, :, 0], inside[:, :, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(shown[:, :, 1, 0], inside[:, :, 1], rtol=0, atol=1e-4)
    flipped = torch.arange(64)[:, None] % 2 == torch.arange(4) % 2
    mirrored = resample(picture, flip_boxes(boxes, flipped), 12, 12, inside=True)
    expected = torch.where(flipped[:, :, None, None, None], shown.flip(4), shown)
    torch.testing.assert_close(mirrored, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "changed", "message"),
    [
        ((3, 32, 32), {"patch": 0.1}, r"patch is 0.1; of pictures of 32 x 32 that is 3 px, less than 5 px"),
        ((3, 32, 32), {"patch": 1.5}, r"patch is 1.5; it must lie in \[0, 1\]"),
        ((3, 32, 32), {"near": 0.0}, r"near is 0.0; it must be at least a pixel and under far, which is 1.0"),
        ((3, 32, 32), {"near": 0.5, "far": 0.5}, r"near is 0.5; .* under far, which is 0.5"),
        ((3, 32, 32), {"far": 0.0}, r"far is 0.0; it must be greater than 0"),
        ((3, 32, 64), {"far": 1.1}, r"far is 1.1; two near pairs of patches of 12 px, 13 px apart, do not fit m's"),
        (
            (3, 64, 32),
            {"near": 0.36},
            r"24 px, 24 px apart, do not fit m's pictures of 64 x 32: lower far, near \(0.36\)",
        ),
        ((100,), {}, r"m needs pictures"),
    ],
)
def test_near_and_far_that_cannot_be_are_refused(shape: Any, changed: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        require_near_far(shape, **NEAR_FAR | changed, method="m")


@pytest.mark.parametrize(
    ("settings", "too_small"), [(NEAR_FAR, [8, 9, 10, 11, 12, 13]), ({"patch": 0.5, "near": 0.12, "far": 0.75}, [8, 9])]
)
def test_what_fits_one_picture_fits_those_of_any_size(settings: dict[str, float], too_small: list[int]) -> None:
    refused = []
    for side in range(8, 400):
        try:
            require_near_far((3, side, side), **settings, method="m")
        except ValueError:
            refused.append(side)
    assert refused == too_small  # patches of less than 5 px


# ---- colour


def test_one_channel_of_each_patch_is_kept_and_the_others_are_faint_noise() -> None:
    patches = torch.rand(3000, 3, 16, 16, generator=seeded())
    dropped = drop_colours(patches, seeded())
    kept = (dropped == patches).flatten(2).all(2)  # (T, 3)
    assert torch.equal(kept.sum(1), torch.ones(3000, dtype=torch.int64))
    assert (kept.sum(0) - 1000).abs().max() < 110  # a deviation is 26
    noise = dropped[~kept].view(3000, 2, 256)
    deviation = patches[kept].view(3000, 256).std(1)
    assert float(noise.mean()) == pytest.approx(0.5, abs=1e-4)
    assert float((noise.std(2) / deviation[:, None]).mean()) == pytest.approx(0.01, rel=0.02)
    assert not torch.equal(noise[:, 0], noise[:, 1])


def test_the_projection_takes_green_against_magenta_away_and_leaves_the_rest() -> None:
    patches = 0.3 + 0.4 * torch.rand(5, 3, 6, 7, generator=seeded())  # nothing leaves [0, 1]
    projected = project_colours(patches)
    axis = torch.tensor([-1.0, 2.0, -1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close((projected * axis).sum(1), torch.zeros(5, 6, 7), rtol=0, atol=1e-5)
    removed = patches - projected
    torch.testing.assert_close(removed, removed[:, 1:2] / 2 * axis)  # along the axis and nothing else
    torch.testing.assert_close(project_colours(projected), projected)
    grey = torch.rand(2, 1, 4, 4, generator=seeded()).expand(-1, 3, -1, -1)
    torch.testing.assert_close(project_colours(grey), grey)


def test_the_projection_of_pure_green_is_worked_by_hand() -> None:
    green = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    expected = torch.tensor([1 / 3, 1 / 3, 1 / 3]).view(1, 3, 1, 1)  # (0, 1, 0) - 2 / 6 * (-1, 2, -1)
    torch.testing.assert_close(project_colours(green), expected)


def test_what_has_no_colours_is_left_alone() -> None:
    patches = torch.rand(4, 1, 5, 5, generator=seeded())
    assert torch.equal(drop_colours(patches, seeded()), patches)
    assert torch.equal(project_colours(patches), patches)
