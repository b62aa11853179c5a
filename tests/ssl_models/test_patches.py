"""Tiles and their orders, and what the views refuse."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from ssl_models.bounds import require_choice, require_fraction, require_picture, require_positive
from ssl_models.views.geometric import (
    require_square,
)
from ssl_models.views.patches import (
    ALL_ORDERS,
    all_orders,
    cut_tiles,
    far_apart,
    normalise_tiles,
    order_set,
    random_orders,
    require_orders,
    require_tiles,
    shuffle_tiles,
)
from ssl_models.views.photometric import (
    require_jitter,
)
from tests.ssl_models.test_views import seeded

torch.set_num_threads(1)


def test_tiles_without_a_gap_put_back_give_the_picture() -> None:
    picture = torch.rand(2, 3, 48, 48, generator=seeded())
    tiles = cut_tiles(picture, seeded(), tile=16, gap=0)
    rows = [torch.cat(list(tiles[:, 3 * row : 3 * row + 3].unbind(1)), dim=3) for row in range(3)]
    torch.testing.assert_close(torch.cat(rows, dim=2), picture, rtol=0, atol=1e-5)


def test_a_tile_is_a_slice_of_its_cell_at_a_place_of_its_own() -> None:
    place = torch.arange(48.0)
    picture = torch.stack([place[:, None].expand(48, 48), place.expand(48, 48)])[None].expand(32, -1, -1, -1)
    tiles = cut_tiles(picture, seeded(), tile=12, gap=0.25)  # cells of 16, patches of 12, five places each way
    assert tiles.shape == (32, 9, 2, 12, 12)
    cell = torch.arange(9)
    offsets = tiles[:, :, :, 0, 0] - 16 * torch.stack([cell // 3, cell % 3], dim=1)  # (B, 9, 2)
    assert set(offsets.round().flatten().tolist()) == {0, 1, 2, 3, 4}
    torch.testing.assert_close(tiles[:, :, 0, 11, 0] - tiles[:, :, 0, 0, 0], torch.full((32, 9), 11.0))
    assert not torch.equal(offsets[0], offsets[1])
    assert not torch.equal(offsets[0, 0], offsets[0, 1])


def test_a_tile_sees_nothing_of_its_neighbours() -> None:
    picture = torch.zeros(4, 1, 32, 32)
    picture[:, :, :10] = picture[:, :, 21:] = 1  # every cell row is of one value, the odd row 20 aside
    tiles = cut_tiles(picture, seeded(), tile=16, gap=0.0)
    assert torch.equal(tiles[:, :3], torch.ones(4, 3, 1, 16, 16))
    assert torch.equal(tiles[:, 3:6], torch.zeros(4, 3, 1, 16, 16))
    assert torch.equal(tiles[:, 6:], torch.ones(4, 3, 1, 16, 16))


def test_normalised_tiles_have_one_mean_and_deviation() -> None:
    tiles = torch.rand(3, 9, 2, 16, 16, generator=seeded()) * torch.linspace(0.2, 1, 9).view(1, 9, 1, 1, 1)
    out = normalise_tiles(tiles)
    torch.testing.assert_close(out.mean((3, 4)), torch.full((3, 9, 2), 0.5), rtol=0, atol=1e-3)
    torch.testing.assert_close(out.std((3, 4)), torch.full((3, 9, 2), 0.25), rtol=0, atol=0.01)
    assert torch.equal(normalise_tiles(torch.full((1, 9, 1, 4, 4), 0.3)), torch.full((1, 9, 1, 4, 4), 0.5))


def test_shuffle_shows_the_tile_that_the_order_names() -> None:
    tiles = torch.arange(18.0).view(2, 9, 1, 1, 1)
    orders = torch.tensor([[8, 7, 6, 5, 4, 3, 2, 1, 0], [1, 0, 2, 3, 4, 5, 6, 7, 8]])
    shown = shuffle_tiles(tiles, orders).view(2, 9)
    assert shown[0].tolist() == [8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert shown[1].tolist() == [10, 9, 11, 12, 13, 14, 15, 16, 17]
    torch.testing.assert_close(shuffle_tiles(shuffle_tiles(tiles, orders), orders.argsort(1)), tiles)


def test_random_orders_are_permutations_and_uniform() -> None:
    orders = random_orders(9000, seeded())
    assert torch.equal(orders.sort(1).values, torch.arange(9).expand(9000, 9))
    counts = torch.stack([(orders == tile).sum(0) for tile in range(9)])  # expected 1,000, deviation 30
    assert (counts - 1000).abs().max() < 150


def test_all_orders_are_all_the_permutations() -> None:
    orders = all_orders().long()
    codes = (orders * 9 ** torch.arange(9)).sum(1)
    assert orders.shape == (ALL_ORDERS, 9)
    assert len(codes.unique()) == ALL_ORDERS
    assert torch.equal(orders.sort(1).values, torch.arange(9).expand(ALL_ORDERS, 9))


def hamming(orders: Tensor) -> Tensor:
    """Distances of all pairs."""
    distance = (orders[:, None] != orders).sum(2)
    return distance[~torch.eye(len(orders), dtype=torch.bool)]


def test_the_order_set_is_unique_repeatable_and_farther_apart_than_chance() -> None:
    orders = order_set(64, seed=1)
    assert orders.shape == (64, 9)
    assert len({tuple(order) for order in orders.tolist()}) == 64
    assert torch.equal(orders, order_set(64, seed=1))
    assert not torch.equal(orders, order_set(64, seed=2))
    chance = hamming(random_orders(64, seeded()))
    assert hamming(orders).min() >= 7 > chance.min()
    assert hamming(orders).float().mean() > chance.float().mean()


def test_nine_orders_differ_everywhere() -> None:
    assert (hamming(order_set(9, seed=0)) == 9).all()  # a Latin square; the greedy choice finds it


def test_the_set_of_all_orders_is_all() -> None:
    assert len(order_set(ALL_ORDERS, seed=0).unique(dim=0)) == ALL_ORDERS


def greedy(candidates: list[tuple[int, ...]], count: int, by: str) -> list[int]:
    """The choice by its definition: every distance to all that are chosen, anew for each further order."""
    chosen = [0]
    while len(chosen) < count:
        worth = {}
        for number in set(range(len(candidates))) - set(chosen):
            to_each = [sum(a != b for a, b in zip(candidates[number], candidates[one], strict=True)) for one in chosen]
            mean = sum(to_each) / len(chosen)
            worth[number] = (mean, -number) if by == "mean" else (min(to_each), mean, -number)
        chosen.append(max(worth, key=lambda number: worth[number]))
    return chosen


@pytest.mark.parametrize("by", ["minimum", "mean"])
@pytest.mark.parametrize(("tiles", "count"), [(3, 6), (4, 24), (5, 25)])
def test_the_greedy_choice_is_that_of_the_naive_one(by: str, tiles: int, count: int) -> None:
    every = list(itertools.permutations(range(tiles)))
    mixed = [every[number] for number in torch.randperm(len(every), generator=seeded(tiles)).tolist()]
    found = far_apart(torch.tensor(mixed, dtype=torch.uint8), count, by)
    assert found.tolist() == greedy(mixed, count, by)


def test_by_the_mean_the_set_is_as_far_apart_on_average_and_closer_at_its_closest() -> None:
    mean, minimum = (hamming(order_set(100, seed=0, by=by)).float() for by in ("mean", "minimum"))
    assert mean.mean() >= minimum.mean() > 8
    assert mean.min() < minimum.min()
    assert not torch.equal(order_set(100, seed=0, by="mean"), order_set(100, seed=1, by="mean"))


@pytest.mark.parametrize("by", ["minimum", "mean"])
def test_orders_chosen_by_either_distance_are_different_ones(by: str) -> None:
    assert len(order_set(300, seed=2, by=by).unique(dim=0)) == 300


def test_by_default_the_nearest_counts() -> None:
    assert torch.equal(order_set(30, seed=3), order_set(30, seed=3, by="minimum"))


# ---- refusals


@pytest.mark.parametrize("count", [-1, 0, 1, ALL_ORDERS + 1])
def test_impossible_numbers_of_orders_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=rf"permutations is {count}; nine tiles allow 2 to 9!"):
        require_orders(count)


def test_an_unknown_distance_is_refused() -> None:
    with pytest.raises(ValueError, match="permutations_by is 'median'; choose one of minimum, mean"):
        order_set(10, seed=0, by="median")


def test_a_shift_of_channels_that_the_gap_does_not_hold_is_refused() -> None:
    require_tiles((3, 32, 32), tile=16, gap=0.25, method="jigsaw", shift=1)
    require_tiles((3, 255, 255), tile=64, gap=0.25, method="jigsaw", shift=2)  # the paper's
    with pytest.raises(ValueError, match=r"channel_shift is 2; a gap of 0\.25 leaves 2 px .* 40 x 32, .* at most 1"):
        require_tiles((3, 40, 32), tile=16, gap=0.25, method="jigsaw", shift=2)
    with pytest.raises(ValueError, match="channel_shift is -1; it must be at least 0"):
        require_tiles((3, 32, 32), tile=16, gap=0.25, method="jigsaw", shift=-1)


def test_pictures_too_small_for_nine_tiles_are_refused() -> None:
    with pytest.raises(ValueError, match=r"jigsaw .* at least 24 px; these are 32 x 23"):
        require_tiles((3, 32, 23), tile=16, gap=0.2, method="jigsaw")
    with pytest.raises(ValueError, match=r"gap is 0.6"):
        require_tiles((3, 32, 32), tile=16, gap=0.6, method="jigsaw")
    require_tiles((3, 24, 24), tile=16, gap=0.2, method="jigsaw")


def test_bounds_name_what_they_refuse() -> None:
    with pytest.raises(ValueError, match="temperature is 0; it must be greater than 0"):
        require_positive(temperature=0)
    with pytest.raises(ValueError, match="nan"):
        require_positive(temperature=math.nan)
    with pytest.raises(ValueError, match=r"weight is 1.5; it must lie in \[0, 1\]"):
        require_fraction(weight=1.5)
    with pytest.raises(ValueError, match="objective is 'x'; choose one of a, b"):
        require_choice("objective", "x", ("a", "b"))
    with pytest.raises(ValueError, match=r"pictures of shape \(C, H, W\)"):
        require_picture((16000,), "rotation")
    with pytest.raises(ValueError, match="square ones, not 24 x 32"):
        require_square((3, 24, 32), "rotation")
    with pytest.raises(ValueError, match=r"hue is 0.6"):
        require_jitter(0.5, 0.6)
    with pytest.raises(ValueError, match=r"strength is 1.3"):
        require_jitter(1.3, 0.1)
