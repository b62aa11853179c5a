"""Pictures stored larger than they are used: random crops are taken from all of what is stored."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from ssl_models.data import DataSpec
from ssl_models.datasets._common.split import IMAGES
from ssl_models.encoders import build_encoder
from ssl_models.method import method_class
from ssl_models.modalities.image import MildViews
from ssl_models.trainer import Settings, Training
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.geometric import random_crop_flip
from tests.ssl_models.built_methods import NAMES, SIDE, TRAINED, batch, build, kind, seeded_views

torch.set_num_threads(1)

CROPS = sorted(name for name in NAMES if method_class(name).crops)
LARGER = round(1.15 * SIDE)


def larger(count: int = 16, side: int = LARGER) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 6, generator=Generator().manual_seed(1))
    return (torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear") * 255).to(torch.uint8)


def test_all_methods_of_pictures_crop_but_one_that_cuts_patches() -> None:
    assert {name for name in TRAINED if kind(name) == IMAGES} - set(CROPS) == {"near_far_patches"}


@pytest.mark.parametrize("name", CROPS)
def test_views_of_larger_pictures_have_the_shapes_of_views_of_pictures_as_used(name: str) -> None:
    method = build(name)
    usual = seeded_views(method)
    found = method.views(larger(), Generator().manual_seed(0))
    assert [view.shape for view in found] == [view.shape for view in usual]
    assert [view.dtype for view in found] == [view.dtype for view in usual]
    assert all(view.min() >= 0 and view.max() <= 1 for view in found if view.is_floating_point())


@pytest.mark.parametrize("name", CROPS)
def test_numbers_drawn_do_not_depend_on_the_size_stored(name: str) -> None:
    """What is shown changes with the pictures; labels and what is compared do not."""
    method = build(name)
    for one, two in zip(seeded_views(method), method.views(larger(), Generator().manual_seed(0)), strict=True):
        assert one.is_floating_point() or torch.equal(one, two)


def test_a_crop_of_the_whole_is_scaled_down_by_hand() -> None:
    stored = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    whole = MildViews(1.0, 0.0, size=(2, 2))(stored, Generator()) * 255
    assert whole.flatten().tolist() == pytest.approx([2.5, 4.5, 10.5, 12.5])  # means of 2 x 2
    mirrored = MildViews(1.0, 1.0, size=(2, 2))(stored, Generator()) * 255
    assert mirrored.flatten().tolist() == pytest.approx([4.5, 2.5, 12.5, 10.5])


def test_the_area_of_a_crop_is_a_share_of_all_that_is_stored() -> None:
    """A ramp over the stored width shows how much of it a view spans."""
    ramp = torch.linspace(0, 1, 46).expand(3000, 1, 46, 46)
    view = random_crop_flip(ramp, Generator().manual_seed(0), smallest=0.3, flip=0.0, size=(40, 30))
    assert view.shape == (3000, 1, 40, 30)
    first, last = view[:, 0, 0, 0], view[:, 0, 0, -1]
    assert first.min() < 0.02
    assert last.max() > 0.98
    across = (last - first) * (30 / 29) * (45 / 46)  # between centres of pixels -> of the whole
    assert across.square().mean() == pytest.approx(0.65, abs=0.02)  # E(area * aspect), the aspect being about 1


def test_the_size_given_is_the_size_stored_for_pictures_as_used() -> None:
    pictures = batch(IMAGES) / 255
    for views in (Augmentation, MildViews):
        given = pictures if views is Augmentation else batch(IMAGES)
        plain, sized = (views(size=size)(given, Generator().manual_seed(3)) for size in (None, (SIDE, SIDE)))
        assert torch.equal(plain, sized)


def test_a_training_takes_pictures_as_stored() -> None:
    method = method_class("simclr")(build_encoder("resnet", depth=10, width=4), DataSpec(16, {IMAGES: (3, SIDE, SIDE)}))
    training = Training(method, larger(), Settings(epochs=1, batch_size=8, warmup_epochs=0), seed=0)
    training.run()
    assert training.views_seen == 32
