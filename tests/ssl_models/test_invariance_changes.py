"""What invariance is measured under: the transforms and the factors of the world, each changing what it says only."""

from __future__ import annotations

import torch
from torch import Tensor

from ssl_models.datasets import world
from ssl_models.datasets._world.render import render
from ssl_models.datasets._world.scene import FACTORS
from ssl_models.protocols import invariance
from tests.ssl_models.test_invariance import (
    found,
    mean_colour,
    noise,
    representation,
)


def test_jigsaw_moves_tiles_and_keeps_what_is_left_over() -> None:
    pictures = torch.from_numpy(noise(3, side=32))
    orders = torch.stack([torch.arange(9), torch.arange(9).flip(0), torch.tensor([1, 0, 2, 3, 4, 5, 6, 7, 8])])
    shuffled = invariance.jigsaw(pictures, orders)
    assert torch.equal(shuffled[0], pictures[0])
    for place, tile in enumerate(orders[1].tolist()):
        (row, column), (from_row, from_column) = divmod(place, 3), divmod(tile, 3)
        block = shuffled[1, :, 1 + 10 * row : 11 + 10 * row, 1 + 10 * column : 11 + 10 * column]
        origin = (slice(1 + 10 * from_row, 11 + 10 * from_row), slice(1 + 10 * from_column, 11 + 10 * from_column))
        assert torch.equal(block, pictures[1, :, *origin])
    for edge in (0, 31):
        assert torch.equal(shuffled[:, :, edge], pictures[:, :, edge])
        assert torch.equal(shuffled[..., edge], pictures[..., edge])
    assert torch.equal(shuffled[2, :, 11:], pictures[2, :, 11:])


def test_scenes_differ_in_one_factor_only() -> None:
    for dial in ("", "gradient", "texture"):
        pairs = invariance.scene_pairs(24, 0, dial)
        scene = next(pairs)[1]
        names = []
        for name, moved in pairs:
            names.append(name)
            changed = [other for other in FACTORS if not torch.equal(moved.factors[other], scene.factors[other])]
            assert changed == ([] if name == "class" else [name])
            assert torch.equal(moved.labels, scene.labels) == (name != "class")
            differs = (render(moved, 24) != render(scene, 24)).flatten(1).any(1)
            assert differs.float().mean() > (0.3 if name == "mirror" else 0.6), name
        assert names == [n for n, f in FACTORS.items() if f.dial == dial] if dial else names[0] == "class"


def test_scenes_are_not_those_of_the_data() -> None:
    own = world.load(seed=0, train=16, test=16)
    scene = next(invariance.scene_pairs(16, 0, ""))[1]
    for split in (own.train, own.test):
        assert not (render(scene, 32)[:, None] == split.images[None]).flatten(2).all(2).any()


def test_every_factor_is_measured_once() -> None:
    given = representation(noise(8), mean_colour)
    metrics = [score.metric for score in invariance.evaluate(given, seed=0, samples=8).scores if score.layer == "last"]
    assert sorted(metrics) == sorted(
        ["invariance", *(f"invariance_{name}" for name in (*invariance.TRANSFORMS, "class", *FACTORS))]
    )
    assert metrics[0] == "invariance"


def test_what_an_encoder_looks_at_is_what_it_is_sensitive_to() -> None:
    """The corner shows the background alone, whatever the object is or does."""

    def corner(pictures: Tensor) -> Tensor:
        return pictures[:, :, :2, :2].flatten(1) - 0.5

    scores = found(noise(32), corner, factors=True, samples=128)
    assert scores["invariance_background_brightness"] < 0.3
    assert scores["invariance_gradient"] < scores["invariance_background_hue"]
    for name in ("hue", "light", "class"):
        assert scores[f"invariance_{name}"] > 0.99
    middle = found(noise(32), lambda p: p[:, :, 11:13, 11:13].flatten(1) - 0.5, factors=True, samples=128)
    assert middle["invariance_hue"] < 0.7
    assert middle["invariance_background_hue"] > 0.95


# ---- what every protocol shows
