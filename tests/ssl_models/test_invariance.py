"""Invariance: values worked by hand, the definition as a loop, and encoders that are invariant by construction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ssl_models.datasets import world
from ssl_models.encoders.resnet import ResNet
from ssl_models.protocols import invariance
from ssl_models.protocols._common.score import Findings, Representation
from tests.ssl_models.reads import Reads, no_labels

torch.set_num_threads(1)
SIDE = 24
UNIFORM = np.full((1, 40), 1 / 40)


def noise(samples: int = 64, seed: int = 0, channels: int = 3, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(samples, channels, side, side), dtype=np.uint8)


def representation(images: np.ndarray, function: Callable[[Tensor], Tensor]) -> Representation:
    return Representation(
        ("last", "pooled"),
        no_labels,
        no_labels,
        0,
        encoder=lambda: Reads(function),
        samples=lambda _: {"images": images},
        truth=no_labels,
        precision="float32",
    )


def values(findings: Findings, layer: str = "pooled") -> dict[str, float]:
    return {score.metric: score.value for score in findings.scores if score.layer == layer}


def found(images: np.ndarray, function: Callable[[Tensor], Tensor], **settings: float) -> dict[str, float]:
    return values(invariance.evaluate(representation(images, function), seed=0, **({"factors": False} | settings)))


def pixels(pictures: Tensor) -> Tensor:
    return pictures.flatten(1)


def mean_colour(pictures: Tensor) -> Tensor:
    return pictures.double().mean((2, 3)).float() - 0.5


def brightest(pictures: Tensor) -> Tensor:
    """Where the brightest pixel is, as one of so many."""
    return nn.functional.one_hot(pictures.sum(1).flatten(1).argmax(1), SIDE * SIDE).float()


def chaos(pictures: Tensor) -> Tensor:
    """Numbers that have nothing in common for two pictures that differ at all."""
    weights = torch.randn(pictures[0].numel(), 256, generator=torch.Generator().manual_seed(0))
    return torch.sin(300 * pictures.flatten(1) @ weights)


def ones(pictures: Tensor) -> Tensor:
    return torch.full((len(pictures), 5), 0.3)


# ---- the measure


def test_by_hand() -> None:
    before, after = np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]])
    # |f_i - g_i|^2 = 0, 1; unrelated: |1 - 2|^2 = 1 and |3 - 1|^2 = 4
    change = invariance.distances(before, after)
    np.testing.assert_allclose(change[0], [0, 1])
    assert change[1].mean() == pytest.approx(2.5)
    assert invariance.invariance(change, np.full((1, 2), 0.5))[0] == pytest.approx(1 - 0.5 / 2.5)


def test_equals_the_loop_of_the_definition() -> None:
    draws = np.random.default_rng(0)
    before, after = draws.normal(size=(40, 7)), draws.normal(size=(40, 7)) + 3
    after += before
    own = [((before[i] - after[i]) ** 2).sum() for i in range(40)]
    unrelated = [((before[i] - after[j]) ** 2).sum() for i in range(40) for j in range(40) if i != j]
    change = invariance.distances(before, after)
    np.testing.assert_allclose(change[0], own)
    assert change[1].mean() == pytest.approx(np.mean(unrelated))
    expected = 1 - np.mean(own) / np.mean(unrelated)
    assert invariance.invariance(change, UNIFORM)[0] == pytest.approx(expected)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
def test_of_gaussians_it_is_their_correlation(correlation: float) -> None:
    draws = np.random.default_rng(1)
    before, other = draws.normal(size=(2, 20_000, 4))
    after = correlation * before + np.sqrt(1 - correlation**2) * other
    change = invariance.distances(before, after)
    assert invariance.invariance(change, np.full((1, 20_000), 1 / 20_000))[0] == pytest.approx(correlation, abs=0.01)


def test_what_all_copies_share_does_not_count_as_likeness() -> None:
    before = np.random.default_rng(2).normal(size=(40, 6))
    wiped = np.repeat(before.mean(0, keepdims=True), 40, axis=0)
    assert invariance.invariance(invariance.distances(before, wiped), UNIFORM)[0] == pytest.approx(0, abs=0.05)


def test_opposites_are_the_least_there_is() -> None:
    before = np.concatenate([np.eye(20), -np.eye(20)])
    assert invariance.invariance(invariance.distances(before, -before), UNIFORM)[0] == pytest.approx(-1, abs=0.06)


def test_the_interval_is_that_of_resampled_pairs() -> None:
    """Pictures drawn again and all pairs of theirs measured, but for those of a picture with itself."""
    draws = np.random.default_rng(3)
    before = draws.normal(size=(60, 3))
    after = before + draws.normal(size=(60, 3))
    score = invariance._score("last", "m", invariance.distances(before, after), 0)
    squares = ((before[:, None] - after[None]) ** 2).sum(2)
    again = []
    for _ in range(2000):
        units = draws.integers(60, size=60)
        apart = units[:, None] != units[None]
        again.append(1 - squares[units, units].mean() / squares[np.ix_(units, units)][apart].mean())
    np.testing.assert_allclose([score.low, score.high], np.quantile(again, [0.025, 0.975]), atol=0.02)


def test_the_interval_holds_the_truth_in_nineteen_of_twenty_samples() -> None:
    draws, hits = np.random.default_rng(4), 0
    for _ in range(200):
        before, other = draws.normal(size=(2, 100, 4))
        score = invariance._score("last", "m", invariance.distances(before, 0.6 * before + 0.8 * other), 0)
        hits += score.low <= 0.6 <= score.high
    assert 0.88 <= hits / 200 <= 0.99


# ---- the transforms


def test_an_oracle_scores_one() -> None:
    """Encoders that cannot see a transform: a mean no moving of pixels, pixels of one colour no crop, the place of
    the brightest pixel no jitter."""
    scores = found(noise(), mean_colour)
    assert scores["invariance_rotation"] == pytest.approx(1, abs=1e-5)
    assert scores["invariance_jigsaw"] == pytest.approx(1, abs=1e-5)
    flat = np.broadcast_to(noise(side=1), (64, 3, SIDE, SIDE))
    assert found(flat, pixels)["invariance_crop"] == 1
    lamps = np.full((64, 3, SIDE * SIDE), 40, np.uint8)
    lamps[np.arange(64), :, np.arange(64) * 9] = 90
    scores = invariance.evaluate(representation(lamps.reshape(64, 3, SIDE, SIDE), brightest), seed=0).scores
    colour = next(score for score in scores if score.metric == "invariance_colour")
    assert (colour.value, colour.low, colour.high) == (1, 1, 1)


def test_a_constant_scores_chance() -> None:
    """It is not called invariant: a constant cannot tell pictures apart, and 0 is what guessing gets."""
    for score in invariance.evaluate(representation(noise(), ones), seed=0, samples=8).scores:
        assert (score.value, score.low, score.high) == (0, 0, 0)
    assert set(found(noise(), lambda pictures: 0 * ones(pictures)).values()) == {0.0}


def test_shuffled_truth_scores_chance() -> None:
    """Unrelated pictures score 0: before and after, of an encoder that has nothing in common for them."""
    before = np.random.default_rng(5).normal(size=(400, 16)) + 5
    change = invariance.distances(before, np.random.default_rng(6).permutation(before))
    assert invariance.invariance(change, np.full((1, 400), 1 / 400))[0] == pytest.approx(0, abs=0.06)
    scores = found(noise(200), chaos)
    for name in invariance.TRANSFORMS:
        assert scores[f"invariance_{name}"] == pytest.approx(0, abs=0.02)


def test_same_seed_same_numbers() -> None:
    images = np.random.default_rng(0).integers(0, 256, size=(40, 3, SIDE, SIDE), dtype=np.uint8)
    torch.manual_seed(0)
    encoder = ResNet(depth=10, width=4)
    layers = ("conv1", "res2", "res3", "res4", "res5", "pooled")
    given = Representation(
        layers,
        no_labels,
        no_labels,
        0,
        encoder=lambda: encoder,
        samples=lambda _: {"images": images},
        truth=no_labels,
    )
    first = invariance.evaluate(given, seed=3, samples=24)
    again = invariance.evaluate(given, seed=3, samples=24)
    assert first.scores == again.scores
    assert np.array_equal(first.pictures["distances"], again.pictures["distances"])
    assert first.scores != invariance.evaluate(given, seed=4, samples=24).scores
    assert {score.layer for score in first.scores} == set(layers)
    for score in first.scores:
        assert -1.1 <= score.low <= score.value <= score.high <= 1


def test_the_order_of_samples_does_not_matter() -> None:
    """Exactly, where nothing is drawn; else a picture is given another one's draw, and values move as intervals say."""
    images = world.load(seed=0, train=1, test=200, size=SIDE).test.images.numpy()
    first, moved = (
        invariance.evaluate(representation(given, mean_colour), seed=0, factors=False).scores
        for given in (images, images[np.random.default_rng(0).permutation(200)])
    )
    for score, other in zip(first, moved, strict=True):
        if score.metric == "invariance_rotation":
            assert other.value == pytest.approx(score.value, abs=1e-9)
        assert abs(other.value - score.value) <= score.high - score.low


def test_missing_truth_is_told() -> None:
    """Nothing is missing where there are no labels, no annotations and no colours; then no factors are measured."""
    for channels in (1, 4):
        scores = found(noise(16, channels=channels), pixels, factors=True)
        assert set(scores) == {"invariance", *(f"invariance_{name}" for name in invariance.TRANSFORMS)}


def test_a_fourth_channel_is_no_colour() -> None:
    assert found(noise(16, channels=4), lambda pictures: pictures[:, 3].flatten(1))["invariance_colour"] == 1


def test_the_first_score_is_the_mean_over_transforms() -> None:
    findings = invariance.evaluate(representation(noise(32), pixels), seed=0, samples=16)
    scores = {(score.layer, score.metric): score.value for score in findings.scores}
    for layer in ("last", "pooled"):
        shares = [scores[layer, f"invariance_{name}"] for name in invariance.TRANSFORMS]
        assert scores[layer, "invariance"] == pytest.approx(np.mean(shares))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 7}, "samples = 7 must be at least 8"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"smallest_crop": 1.5}, "smallest_crop is 1.5"),
        ({"strength": 2.0}, "strength is 2.0"),
        ({"hue": 0.6}, "hue is 0.6"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        invariance.evaluate(Representation(("pooled",), no_labels, no_labels, 0), seed=0, **settings)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (noise(7), "at least 8 test pictures; there are 7"),
        (noise(9, side=2), "at least 3 x 3 px"),
        (noise(9)[:, 0, 0], "pictures"),
    ],
)
def test_too_little_to_see_is_refused(images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        found(images, pixels)


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="'last' has features that are not finite"):
        found(noise(9), lambda pictures: pixels(pictures) * float("nan"))
