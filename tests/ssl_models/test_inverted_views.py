"""Inversion in methods that make their own views: of patches, of tiles, and of one view of a picture."""

from __future__ import annotations

from importlib import import_module

import pytest
import torch

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.tile_colours import change_tiles
from tests.ssl_models.test_views import seeded

torch.set_num_threads(1)

STILL = {"strength": 0.0, "hue": 0.0}
METHODS = {
    "contrastive_pairs": {"grey": 0.0},
    "npid": {"grey": 0.0, "negatives": 4},
    "pirl": {"grey": 0.0, "negatives": 4},
    "near_far_patches": {"grey": 0.0},
    "cpc_image": {"patch_grey": 0.0, "negatives": 4},
}


@pytest.mark.parametrize("name", METHODS)
def test_the_first_views_are_inverted_or_changed_by_a_power_as_the_settings_say(name: str) -> None:
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8, generator=seeded())

    def first(**settings: float) -> torch.Tensor:
        torch.manual_seed(0)
        encoder, data = ResNet(depth=10, width=4), DataSpec(20, {"images": (3, 32, 32)})
        method = import_module(f"ssl_models.methods.{name}").METHOD(encoder, data, **STILL, **METHODS[name], **settings)
        return method.views(images, seeded(1))[0]

    plain = first()
    torch.testing.assert_close(first(invert=1.0), 1 - plain, rtol=0, atol=1e-5)
    changed = first(gamma=1.0)
    inside = (plain > 0.1) & (plain < 0.9)
    powers = torch.where(inside, changed.log() / plain.log(), torch.nan).flatten(1)
    spread = powers.nan_to_num(-9).amax(1) - powers.nan_to_num(9).amin(1)
    assert float(spread.max()) < 1e-3  # one power for each picture or patch
    assert float(powers.nanmean(1).std()) > 0.1


def test_tiles_are_inverted_by_themselves() -> None:
    tiles = torch.rand(40, 9, 3, 6, 6, generator=seeded())
    found = change_tiles(tiles, seeded(1), Augmentation(flip=0.0, grey=0.0, invert=0.5, **STILL))
    inverted, kept = (((found - like).abs().flatten(2).amax(2) < 1e-5) for like in (1 - tiles, tiles))
    assert (inverted ^ kept).all()
    assert (inverted.any(1) & kept.any(1)).float().mean() > 0.9  # 0.996 of nine draws hold both
