"""Nearest patches of other pictures, on pictures whose patches are known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import DoesNotApply, NeedsLabels
from ssl_models.modalities import image
from ssl_models.protocols import patch_neighbours
from ssl_models.protocols._common.score import Findings, Representation
from ssl_models.protocols.patch_neighbours import PLACES, evaluate, patches_of
from tests.ssl_models.test_every_protocol import CLAIMS

torch.set_num_threads(1)
CLASSES, SIDE = 4, 16
COUNTS = {"train": 80, "test": 40}


class Reading(Encoder):
    """Gives what a function makes of the patches (B, 3, H, W) in [0, 1]."""

    name = "reading"
    modalities = (image,)

    def __init__(self, read: Callable[[Tensor], Tensor], dim: int) -> None:
        super().__init__()
        self.read, self.dim, self.settings = read, dim, {}

    def standardise(self, inputs: Tensor) -> Tensor:
        return inputs

    def vectors_of(self, *inputs: Tensor) -> Tensor:
        return self.read(inputs[0])

    def layers(self, *inputs: Tensor) -> dict[str, Tensor]:
        return {"one": inputs[0]}


def pictures(split: str) -> tuple[ndarray, ndarray]:
    """Red tells the class everywhere, green the place of each of the five patches, blue is noise."""
    count = COUNTS[split]
    labels = np.arange(count) % CLASSES
    draws = np.random.default_rng(len(split))
    found = np.zeros((count, 3, SIDE, SIDE), np.uint8)
    found[:, 0] = 60 * labels[:, None, None]
    for number, (down, across) in enumerate(PLACES):
        top, left = round(down * 8), round(across * 8)
        found[:, 1, top : top + 8, left : left + 8] = 50 * number
    found[:, 2] = draws.integers(0, 256, (count, SIDE, SIDE))
    return found, labels


def of_class(given: Tensor) -> Tensor:
    return torch.eye(CLASSES)[(given[:, 0].mean((1, 2)) * 255 / 60).round().long()]


def of_place(given: Tensor) -> Tensor:
    """The corner of a patch shows its own place, but for the middle one, which was drawn over the others' corners."""
    return torch.eye(256)[(given[:, 1].amax((1, 2)) * 255 + given[:, 1].amin((1, 2)) * 7).round().long() % 256]


def representation(read: Callable[[Tensor], Tensor], dim: int, labelled: bool = True, **changes: Any) -> Representation:
    found = {split: pictures(split) for split in COUNTS}

    def labels(split: str) -> ndarray:
        if not labelled:
            raise NeedsLabels("without labels")
        return changes.get("labels", {}).get(split, found[split][1])

    def samples(split: str) -> dict[str, ndarray]:
        return {"images": changes.get("images", {}).get(split, found[split][0])}

    def features(split: str, layer: str) -> ndarray:
        raise AssertionError(f"{split} {layer} is not asked for")

    given = ("one", "pooled"), features, labels, CLASSES
    return Representation(*given, encoder=lambda: changes.get("encoder") or Reading(read, dim), samples=samples)


def values(found: Findings) -> dict[str, float]:
    return {score.metric: score.value for score in found.scores}


def test_every_claim_is_shown_here() -> None:
    assert set(CLAIMS) <= set(globals())


def test_patches_are_the_corners_and_the_middle() -> None:
    given = torch.arange(2 * 3 * 10 * 12).view(2, 3, 10, 12)
    found = patches_of(given, 4)
    assert found.shape == (2, 5, 3, 4, 4)
    for number, (top, left) in enumerate(((0, 0), (0, 8), (3, 4), (6, 0), (6, 8))):
        assert torch.equal(found[:, number], given[:, :, top : top + 4, left : left + 4])


def test_an_oracle_scores_one() -> None:
    found = values(evaluate(representation(of_class, CLASSES), seed=0))
    assert found["class"] == found["class_at_5"] == 1
    assert abs(found["place"] - 1 / 5) < 0.12
    found = values(evaluate(representation(of_place, 256), seed=0))
    assert found["place"] == found["place_at_5"] == 1
    assert abs(found["class"] - 1 / CLASSES) < 0.12


def test_a_constant_scores_chance() -> None:
    found = evaluate(representation(lambda given: torch.ones(len(given), 2), 2), seed=0)
    for score in found.scores:
        chance = 1 / CLASSES if score.metric.startswith("class") else 1 / len(PLACES)
        assert abs(score.value - chance) < 0.1
        assert 0 <= score.low <= score.value <= score.high <= 1


def test_shuffled_truth_scores_chance() -> None:
    draws = np.random.default_rng(0)
    labels = {split: draws.integers(0, CLASSES, count) for split, count in COUNTS.items()}
    found = values(evaluate(representation(of_class, CLASSES, labels=labels), seed=0))
    assert abs(found["class_at_5"] - 1 / CLASSES) < 0.1


def test_same_seed_same_numbers() -> None:
    first, again = (evaluate(representation(of_class, CLASSES), seed=3) for _ in range(2))
    assert first.scores == again.scores
    assert np.array_equal(first.pictures["neighbours"], again.pictures["neighbours"])
    other = evaluate(representation(of_class, CLASSES), seed=4)
    assert values(other)["place"] != values(first)["place"]


def test_the_order_of_samples_does_not_matter() -> None:
    """Nothing is drawn between patches that are not equal."""
    given = {split: pictures(split) for split in COUNTS}
    orders = {split: np.random.default_rng(7).permutation(count) for split, count in COUNTS.items()}
    moved = {split: (images[orders[split]], labels[orders[split]]) for split, (images, labels) in given.items()}

    def read(patches: Tensor) -> Tensor:
        return patches[:, 2].flatten(1) - 0.5

    changes = {
        "images": {split: images for split, (images, _) in moved.items()},
        "labels": {split: labels for split, (_, labels) in moved.items()},
    }
    plain, other = (evaluate(representation(read, 64, **more), seed=0) for more in ({}, changes))
    assert values(plain) == pytest.approx(values(other))


def test_a_neighbour_is_of_another_picture_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = []
    own = patch_neighbours.nearest_apart

    def spy(gallery: Any, queries: Any, most: int, draws: Any) -> ndarray:
        found = own(gallery, queries, most, draws)
        kept.append(gallery.sample[found])
        return found

    monkeypatch.setattr(patch_neighbours, "nearest_apart", spy)
    evaluate(representation(of_class, CLASSES), seed=0)
    assert all(len(set(row)) == len(row) for rows in kept for row in rows.tolist())
    assert len(kept[0]) == COUNTS["test"] * len(PLACES)


def test_at_most_so_many_pictures_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    own = patch_neighbours.nearest_apart

    def spy(gallery: Any, queries: Any, most: int, draws: Any) -> ndarray:
        counts.append((len(gallery), len(queries)))
        return own(gallery, queries, most, draws)

    monkeypatch.setattr(patch_neighbours, "nearest_apart", spy)
    evaluate(representation(of_class, CLASSES), seed=0, samples=8)
    evaluate(representation(of_class, CLASSES), seed=0)
    assert counts[::2] == [(8 * 5, 8 * 5), (80 * 5, 40 * 5)]


def test_missing_truth_is_told() -> None:
    found = evaluate(representation(of_class, CLASSES, labelled=False), seed=0)
    assert set(values(found)) == {"place", "place_at_5"}
    assert "neighbours" in found.pictures


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 0.0}, "patch is 0.0; it must be above 0"),
        ({"patch": 1.5}, "patch"),
        ({"samples": 1}, "samples = 1 must be a whole number of at least 2"),
        ({"samples": 2.5}, "samples = 2.5 must be a whole number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate(representation(of_class, CLASSES), seed=0, **settings)


def test_an_encoder_that_cannot_take_patches_is_told() -> None:
    class Choosy(Reading):
        def layers(self, *inputs: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
            raise RuntimeError("too small")

    with pytest.raises(DoesNotApply, match="cannot take patches of 8 x 8 px"):
        evaluate(representation(of_class, CLASSES, encoder=Choosy(of_class, CLASSES)), seed=0)


def test_vectors_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="vectors that are not finite"):
        evaluate(representation(lambda given: torch.full((len(given), 2), torch.nan), 2), seed=0)


def test_a_real_encoder_works() -> None:
    torch.manual_seed(0)
    found = evaluate(representation(of_class, 32, encoder=ResNet(depth=10, width=4)), seed=0)
    assert found.pictures["neighbours"].dtype == np.uint8
    assert set(values(found)) == {"class", "class_at_5", "place", "place_at_5"}
