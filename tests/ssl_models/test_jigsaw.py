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
        ({"side": 23}, "at least 24 px; these are 23 x 23"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
