"""Which of its classes the world draws, and how often each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ssl_models.datasets import world, world_scenes
from ssl_models.datasets._world.scene import DIALS, sample_scene
from ssl_models.datasets._world.shapes import CLASSES

torch.set_num_threads(1)
HALF = [*CLASSES[6:], CLASSES[0]]
SMALL: dict[str, Any] = {"seed": 3, "size": 16}


def drawn(samples: int, imbalance: float) -> torch.Tensor:
    return sample_scene(samples, torch.Generator().manual_seed(1), DIALS, imbalance=imbalance).labels


def test_only_the_classes_that_are_named_are_drawn_and_balanced() -> None:
    data = world.load(train=70, test=35, classes=HALF, **SMALL)
    assert data.classes == tuple(HALF)
    assert torch.bincount(data.train.labels).tolist() == [10] * 7
    assert torch.bincount(data.test.labels).tolist() == [5] * 7
    assert torch.equal(data.train.factors["class"], data.train.labels.float())


def test_a_label_is_the_number_of_the_shape_in_the_list() -> None:
    """Two classes in either order: the same pictures, and labels exchanged."""
    one = world.load(train=12, test=2, classes=[CLASSES[2], CLASSES[5]], **SMALL)
    alone = world.load(train=12, test=2, classes=[CLASSES[5], CLASSES[2]], **SMALL)
    place = sample_scene(12, torch.Generator().manual_seed(6), DIALS, [2, 5]).labels
    assert torch.equal(one.train.labels, (place == 5).long())
    assert torch.equal(torch.bincount(one.train.labels), torch.bincount(alone.train.labels))
    assert not torch.equal(one.train.parts["images"], alone.train.parts["images"])


def test_the_defaults_draw_what_they_always_did() -> None:
    plain, named = (world.load(train=24, test=12, classes=names, **SMALL) for names in (None, list(CLASSES)))
    assert torch.equal(plain.train.parts["images"], named.train.parts["images"])
    assert torch.equal(plain.train.labels, named.train.labels)
    assert plain.classes == CLASSES


@pytest.mark.parametrize("imbalance", [10.0, 100.0])
def test_frequencies_fall_by_one_factor_from_class_to_class(imbalance: float) -> None:
    counts = torch.bincount(drawn(60_000, imbalance), minlength=12).double()
    shares = imbalance ** -(torch.arange(12).double() / 11)
    expected = 60_000 * shares / shares.sum()
    assert float(shares[0] / shares[-1]) == pytest.approx(imbalance)
    deviations = (counts - expected) / expected.sqrt()
    assert deviations.abs().max() < 4


def test_a_longer_tail_begins_as_a_shorter_draw() -> None:
    assert torch.equal(drawn(50, 20.0)[:20], drawn(20, 20.0))


def test_training_pictures_have_the_tail_and_test_pictures_are_balanced() -> None:
    data = world.load(train=1200, test=120, imbalance=50.0, **SMALL)
    counts = torch.bincount(data.train.labels, minlength=12)
    assert counts[0] > 10 * counts[-1]
    assert torch.bincount(data.test.labels).tolist() == [10] * 12
    assert data.classes == CLASSES


def test_objects_of_scenes_have_the_tail_in_training_pictures_alone() -> None:
    data = world_scenes.load(seed=1, train=600, test=600, size=32, objects=3, imbalance=50.0)
    shown = {name: (split.truth["present"] != 0).sum(0) for name, split in (("train", data.train), ("test", data.test))}
    assert shown["train"][0] > 8 * shown["train"][-1]
    assert shown["test"][0] < 1.5 * shown["test"][-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ["teapot", "cube"]}, "world class 'teapot' is unknown; choose from"),
        ({"classes": [CLASSES[0]]}, "there must be at least 2"),
        ({"classes": []}, "world classes are none; there must be at least 2"),
        ({"classes": [CLASSES[0], CLASSES[0]]}, "each named once"),
        ({"imbalance": 0.5}, r"world imbalance is 0\.5; .* 1 or more"),
        ({"imbalance": float("inf")}, "world imbalance is inf"),
        ({"imbalance": float("nan")}, "world imbalance is nan"),
    ],
)
def test_bad_classes_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        world.load(seed=0, **settings)
    with pytest.raises(ValueError, match=message):
        world.count(**settings)


@pytest.mark.parametrize("function", [world_scenes.load, world_scenes.count])
def test_scenes_refuse_an_imbalance_below_one(function: Any) -> None:
    with pytest.raises(ValueError, match=r"world imbalance is 0\.1"):
        function(seed=0, imbalance=0.1)
