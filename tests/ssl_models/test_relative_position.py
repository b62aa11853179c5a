"""Relative position: the class names the side of the first patch on which the second lies."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.relative_position import RelativePosition
from ssl_models.views.patch_pairs import DIRECTIONS
from ssl_models.views.patches import normalise_tiles
from tests.ssl_models.pictures import located

torch.set_num_threads(1)

PLAIN = {"colours": "keep", "normalise": False, "smallest_crop": 1.0, "flip": 0.0}
"""Tiles show the picture's own pixels."""


def method(side: int = 32, channels: int = 3, **settings: Any) -> RelativePosition:
    torch.manual_seed(0)
    settings = {"hidden": 32} | settings
    return RelativePosition(
        ResNet(depth=10, width=4, channels=channels), DataSpec(20, {"images": (channels, side, side)}), **settings
    )


def made(relative: RelativePosition, images: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    return relative.views(images, torch.Generator().manual_seed(seed))


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("pairs", "tiles", "scored"), [("grid", 9, 40), ("centre", 9, 8), ("one", 2, 1)])
def test_the_class_names_the_side_on_which_the_second_patch_lies(pairs: str, tiles: int, scored: int) -> None:
    relative = method(pairs=pairs, **PLAIN)
    shown, classes = made(relative, located(50))
    assert shown.shape == (50 * tiles, 3, 16, 16)
    assert classes.shape == (50, scored)
    assert classes.dtype == torch.int64
    middle = shown.view(50, tiles, 3, 256)[:, :, :2].mean(3) * 255  # (B, K, 2): row and column of a patch's middle
    table = relative.table[:, :2] if pairs != "one" else torch.tensor([[0, 1]])
    step = middle[:, table[:, 1]] - middle[:, table[:, 0]]  # (B, P, 2)
    direction = torch.tensor(DIRECTIONS)[classes]  # (B, P, 2), of -1, 0 and 1
    assert (step[direction == 0].abs() <= 2.01).all()  # the jitter of both
    assert (step[direction == 1] >= 8.99).all()  # a patch of 8, and a gap of 1 at least
    assert (step[direction == -1] <= -8.99).all()
    assert len(classes.unique()) == 8


def test_neighbouring_patches_share_no_row_or_column_and_their_gap_varies() -> None:
    tiles = made(method(**PLAIN), located(200))[0].view(200, 3, 3, 3, 16, 16) * 255
    upper, lower = tiles[:, :2, :, 0].amax((3, 4)), tiles[:, 1:, :, 0].amin((3, 4))
    skipped = (lower - upper).round().long() - 1
    assert set(skipped.flatten().tolist()) == {1, 2, 3, 4, 5}  # a gap of 3, moved by up to 1 on both sides


def test_one_pair_begins_at_the_centre_and_is_drawn_for_each_picture() -> None:
    shown, classes = made(method(pairs="one", **PLAIN), located(2000))
    middle = shown.view(2000, 2, 3, 256)[:, 0, :2].mean(2) * 255
    assert (middle - 15.5).abs().max() < 1.6  # the centre of the picture, moved by the jitter
    assert (classes[:, 0].bincount() - 250).abs().max() < 80  # a deviation is 15


def test_the_loss_is_the_mean_over_the_pairs_of_a_picture_taken_one_by_one(images: Tensor) -> None:
    relative = method(pairs="centre").eval()
    tiles, classes = made(relative, images)
    terms = relative.loss(tiles, classes, index=torch.arange(4))
    losses, hits = [], []
    for picture in range(4):
        vectors = [relative.encoder(tiles[9 * picture + place][None]) for place in range(9)]
        for answer, place in enumerate([0, 1, 2, 3, 5, 6, 7, 8]):
            logits = relative.head.layers(torch.cat([vectors[4], vectors[place]], dim=1))[0]
            losses.append(-logits.log_softmax(0)[answer])
            hits.append(float(logits.argmax() == answer))
    torch.testing.assert_close(terms["loss"], torch.stack(losses).mean())
    assert float(terms["accuracy"]) == pytest.approx(sum(hits) / 32)
    assert not terms["accuracy"].requires_grad


def test_the_directions_of_the_grid_weigh_the_same(images: Tensor) -> None:
    relative = method().eval()
    tiles, classes = made(relative, images)
    vectors = relative.encoder(tiles).view(4, 9, -1)
    by_class: list[list[Tensor]] = [[] for _ in DIRECTIONS]
    for picture in range(4):
        for first, second, answer in relative.table.tolist():
            logits = relative.head.layers(torch.cat([vectors[picture, first], vectors[picture, second]])[None])
            by_class[answer].append(functional.cross_entropy(logits, torch.tensor([answer])))
    assert [len(losses) for losses in by_class] == [16, 24, 16, 24, 24, 16, 24, 16]
    expected = torch.stack([torch.stack(losses).mean() for losses in by_class]).mean()
    torch.testing.assert_close(relative.loss(tiles, classes, index=torch.arange(4))["loss"], expected)


@pytest.mark.parametrize("pairs", ["grid", "centre", "one"])
def test_equal_logits_cost_chance_and_no_constant_answer_costs_less(images: Tensor, pairs: str) -> None:
    relative = method(pairs=pairs)
    assert relative.chance == pytest.approx(math.log(8))
    views = made(relative, images)
    for parameter in relative.head.layers[3].parameters():
        torch.nn.init.zeros_(parameter)
    assert float(relative.loss(*views, index=torch.arange(4))["loss"].detach()) == pytest.approx(math.log(8))
    if pairs == "grid":
        relative.head.layers[3].bias.data[[1, 3, 4, 6]] = 0.4  # the sides, which are more often right than corners
        assert float(relative.loss(*views, index=torch.arange(4))["loss"].detach()) > math.log(8)


def test_the_second_patch_is_not_the_first(images: Tensor) -> None:
    relative = method(pairs="centre").eval()
    tiles, classes = made(relative, images)
    swapped = tiles.view(4, 9, 3, 16, 16).flip(1).flatten(0, 1)  # every neighbour changes places with its opposite
    index = torch.arange(4)
    losses = [relative.loss(tiles, 7 - classes, index=index), relative.loss(swapped, classes, index=index)]
    torch.testing.assert_close(losses[0]["loss"], losses[1]["loss"])
    assert not torch.allclose(losses[0]["loss"], relative.loss(tiles, classes, index=index)["loss"])


@pytest.mark.parametrize(("drop", "least", "most"), [(1.0, 1.0, 1.0), (0.5, 0.4, 0.6), (0.0, 0.0, 0.0)])
def test_colours_are_dropped_with_their_probability(images: Tensor, drop: float, least: float, most: float) -> None:
    tiles = made(method(drop=drop), images.repeat(20, 1, 1, 1))[0]  # 720
    loud = (tiles.flatten(2).std(2) > 0.1).sum(1)  # channels that are more than the faint noise
    assert set(loud.tolist()) <= {1, 3}
    assert least <= float((loud == 1).float().mean()) <= most


def test_colours_may_be_projected_or_kept(images: Tensor) -> None:
    settings = {"smallest_crop": 1.0, "flip": 0.0, "normalise": False}
    kept = made(method(colours="keep", **settings), images)[0]
    projected = made(method(colours="project", **settings), images)[0]
    axis = torch.tensor([-1.0, 2.0, -1.0]).view(1, 3, 1, 1)
    inside = ((projected > 0) & (projected < 1)).all(1)  # where nothing was clamped
    assert inside.float().mean() > 0.8
    assert (projected * axis).sum(1)[inside].abs().max() < 1e-5
    assert (kept * axis).sum(1).abs().max() > 0.5


@pytest.mark.parametrize("pairs", ["grid", "one"])
def test_colour_channels_are_shifted_against_each_other_and_patches_still_share_no_pixel(pairs: str) -> None:
    rows = torch.arange(32, dtype=torch.uint8)[:, None].expand(100, 1, 32, 32)
    pictures = torch.cat([rows, rows + 40, rows + 80], dim=1)
    tiles = made(method(channel_shift=1, pairs=pairs, **PLAIN), pictures)[0] * 255
    own = tiles - torch.tensor([0, 40, 80]).view(3, 1, 1)  # (T, 3, 16, 16) the number of the row
    apart = (own[:, 1] - own[:, 0]).mean((1, 2)).round()
    assert set(apart.tolist()) == {-2, -1, 0, 1, 2}
    if pairs == "grid":
        by_row = own.view(100, 3, 3, 3, 256)
        assert (by_row[:, 1:].amin((2, 3, 4)) - by_row[:, :-1].amax((2, 3, 4)) > 0.9).all()  # of every channel


def test_normalised_tiles_are_normalised_each_by_itself(images: Tensor) -> None:
    settings = {"smallest_crop": 1.0, "flip": 0.0, "colours": "keep"}
    plain = made(method(normalise=False, **settings), images)[0]
    normalised = made(method(normalise=True, **settings), images)[0]
    torch.testing.assert_close(normalised, normalise_tiles(plain[:, None])[:, 0])
    torch.testing.assert_close(normalised.mean((2, 3)), torch.full((36, 3), 0.5), rtol=0, atol=0.02)


def test_pictures_of_one_channel_have_no_colours_to_hide() -> None:
    images = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    settings = {"smallest_crop": 1.0, "flip": 0.0, "normalise": False, "channels": 1}
    kept = made(method(colours="keep", **settings), images)[0]
    for colours in ("drop", "project"):
        torch.testing.assert_close(made(method(colours=colours, **settings), images)[0], kept)


def test_the_table_is_no_part_of_a_checkpoint() -> None:
    assert not {"table", "weights"} & set(method().state_dict())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pairs": "all"}, "pairs is 'all'; choose one of grid, centre, one"),
        ({"colours": "grey"}, "colours is 'grey'; choose one of drop, project, keep"),
        ({"drop": 1.5}, "drop is 1.5"),
        ({"tile": 0}, "tile is 0"),
        ({"hidden": -1}, "hidden is -1"),
        ({"gap": 1.5}, "gap is 1.5"),
        ({"jitter": 0.3}, "jitter is 0.3; it must be at most half the gap of 0.35"),
        ({"channel_shift": -1}, "channel_shift is -1; it must be at least 0"),
        ({"channel_shift": 2}, "at least 5 px; .* with gap 0.35, jitter 0.1 and channel_shift 2 leave 0 px"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 2.0}, "flip is 2.0"),
        ({"side": 16}, "relative_position cuts nine patches of at least 5 px; pictures of 16 x 16 .* leave 4 px"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
