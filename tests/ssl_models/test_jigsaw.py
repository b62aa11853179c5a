"""Jigsaw: the label names the order that the tiles are shown in."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.jigsaw import Jigsaw
from ssl_models.views.patches import order_set

torch.set_num_threads(1)


def method(side: int = 24, **settings: Any) -> Jigsaw:
    torch.manual_seed(0)
    settings = {"permutations": 6} | settings
    return Jigsaw(ResNet(depth=10, width=4), DataSpec(20, {"images": (3, side, side)}), **settings)


def test_the_label_names_the_order_shown() -> None:
    jigsaw = method(normalise=False, grey=0.0, smallest_crop=1.0, flip=0.0, gap=0.0)
    cells = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3) * 25
    images = torch.nn.functional.interpolate(cells, scale_factor=8).expand(10, 3, 24, 24)
    tiles, shown = jigsaw.views(images, torch.Generator().manual_seed(0))
    assert tiles.shape == (90, 3, 16, 16)
    assert shown.dtype == torch.int64
    assert len(set(shown.tolist())) > 1
    seen = (tiles.view(10, 9, -1).mean(2) * 255 / 25).round().long()  # the number of the cell at each place
    assert torch.equal(seen, order_set(6, 0)[shown])


def test_the_head_sees_the_tiles_of_a_picture_in_the_order_shown() -> None:
    jigsaw = method().eval()
    tiles, shown = jigsaw.views(
        torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8), torch.Generator().manual_seed(0)
    )
    by_picture = [
        jigsaw.head.layers(torch.cat([jigsaw.encoder(tiles[9 * i + k][None]) for k in range(9)], dim=1))
        for i in range(4)
    ]
    expected = torch.nn.functional.cross_entropy(torch.cat(by_picture), shown)
    torch.testing.assert_close(jigsaw.loss(tiles, shown, index=torch.arange(4))["loss"], expected)


def test_grey_pictures_come_with_their_probability() -> None:
    images = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8).expand(400, -1, -1, -1)
    tiles, _ = method(grey=0.25, normalise=False).views(images, torch.Generator().manual_seed(0))
    grey = (tiles.amax(1) - tiles.amin(1)).view(400, -1).amax(1) < 1e-3
    assert float(grey.float().mean()) == pytest.approx(0.25, abs=0.08)


def plain_pictures(batch: int) -> torch.Tensor:
    """Each of one colour of its own."""
    colours = torch.randint(60, 190, (batch, 3, 1, 1), generator=torch.Generator().manual_seed(1))
    return colours.to(torch.uint8).expand(-1, -1, 24, 24)


@pytest.mark.parametrize("patch_jitter", [False, True])
def test_tiles_have_colours_of_their_own_only_where_each_is_jittered(patch_jitter: bool) -> None:
    jigsaw = method(patch_jitter=patch_jitter, strength=0.5, hue=0.2, grey=0.0, normalise=False)
    tiles, _ = jigsaw.views(plain_pictures(40), torch.Generator().manual_seed(0))
    colours = tiles.mean((2, 3)).view(40, 9, 3)
    assert (colours[:, 0] - plain_pictures(40)[..., 0, 0] / 255).abs().amax(1).gt(0.01).float().mean() > 0.6
    spread = (colours.amax(1) - colours.amin(1)).amax(1)  # (40,) within a picture
    assert (spread > 0.05).all() if patch_jitter else (spread < 1e-5).all()


def test_grey_is_drawn_for_each_tile_where_each_is_jittered() -> None:
    jigsaw = method(patch_jitter=True, grey=0.4, normalise=False)
    tiles, _ = jigsaw.views(plain_pictures(200), torch.Generator().manual_seed(0))
    grey = ((tiles.amax(1) - tiles.amin(1)).flatten(1).amax(1) < 1e-3).view(200, 9).float()
    assert float(grey.mean()) == pytest.approx(0.4, abs=0.05)
    assert set(grey.sum(1).tolist()) >= {2.0, 3.0, 4.0, 5.0}


@pytest.mark.parametrize(("patch_jitter", "mixed"), [(False, False), (True, True)])
def test_flips_are_of_the_picture_or_of_each_tile(patch_jitter: bool, mixed: bool) -> None:
    jigsaw = method(patch_jitter=patch_jitter, flip=0.5, grey=0.0, normalise=False)
    columns = (torch.arange(24, dtype=torch.uint8) * 10).expand(40, 3, 24, 24)
    tiles, _ = jigsaw.views(columns, torch.Generator().manual_seed(0))
    rising = (tiles[:, 0, 0, -1] > tiles[:, 0, 0, 0]).view(40, 9)
    assert 0.3 < float(rising.float().mean()) < 0.7
    assert bool((rising.any(1) & ~rising.all(1)).any()) is mixed


def test_the_label_names_the_order_with_every_measure_on() -> None:
    changed = {"patch_jitter": True, "flip": 0.5, "grey": 0.0, "gap": 0.25, "channel_shift": 1}
    jigsaw = method(permutations=20, permutations_by="mean", normalise=False, smallest_crop=1.0, **changed)
    cells = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3) * 25
    pictures = torch.nn.functional.interpolate(cells, scale_factor=8).expand(10, 3, 24, 24).clone()
    pictures[:, 2] //= 2  # a colour, so that channels are shifted
    tiles, shown = jigsaw.views(pictures, torch.Generator().manual_seed(0))
    seen = (tiles[:, 0].view(10, 9, -1).mean(2) * 255 / 25).round().long()
    assert torch.equal(seen, order_set(20, 0, "mean")[shown])


def test_channels_are_shifted_in_coloured_pictures_and_not_in_grey_ones() -> None:
    rows = torch.arange(24, dtype=torch.uint8)[:, None].expand(60, 1, 24, 24) * 5
    pictures = torch.cat([rows, rows + 40, rows + 80], dim=1)
    jigsaw = method(channel_shift=1, grey=0.5, flip=0.0, smallest_crop=1.0, normalise=False, gap=0.25)
    tiles, _ = jigsaw.views(pictures, torch.Generator().manual_seed(0))
    between = ((tiles[:, 1] - tiles[:, 0]).flatten(1).mean(1) * 255).round().view(60, 9)
    grey = (tiles.amax(1) - tiles.amin(1)).flatten(1).amax(1).view(60, 9).amax(1) < 1e-3
    assert 15 < int(grey.sum()) < 45
    assert set(between[~grey].flatten().tolist()) == {30.0, 35.0, 40.0, 45.0, 50.0}  # 40, and -2 to 2 rows of 5
    assert (between[grey] == 0).all()


def test_chance_is_the_log_of_the_number_of_orders() -> None:
    assert method().chance == pytest.approx(math.log(6))


def test_the_orders_are_no_part_of_a_checkpoint_but_the_seed_gives_them_back() -> None:
    assert "orders" not in method().state_dict()
    assert torch.equal(method().orders, method().orders)
    assert not torch.equal(method(permutation_seed=1).orders, method().orders)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"permutations": 1}, "permutations is 1"),
        ({"permutations": 362_881}, "permutations is 362881"),
        ({"grey": 1.1}, "grey is 1.1"),
        ({"tile": 0}, "tile is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"gap": 0.7}, "gap is 0.7"),
        ({"strength": 2.0}, "colour strength is 2.0"),
        ({"hue": 0.6}, "hue is 0.6"),
        ({"flip": 1.5, "patch_jitter": True}, "flip is 1.5"),
        ({"permutations_by": "sum"}, "permutations_by is 'sum'; choose one of minimum, mean"),
        ({"channel_shift": -1}, "channel_shift is -1; it must be at least 0"),
        ({"channel_shift": 2}, "channel_shift is 2; a gap of 0.25 leaves 2 px .* so it must be at most 1"),
        ({"side": 23}, "at least 24 px; these are 23 x 23"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
