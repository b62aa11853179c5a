"""The protocol without labels: encoders whose answers are known, what holds for any protocol, and other kinds."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models.datasets import world
from ssl_models.encoders.encoder import Encoder
from ssl_models.encoders.resnet import ResNet
from ssl_models.errors import NeedsSamples, NoSuchLayer
from ssl_models.extraction import extract_features
from ssl_models.protocols import label_free
from ssl_models.protocols._common.score import Findings, Representation
from tests.ssl_models import kinds
from tests.ssl_models.reads import Reads, no_labels

torch.set_num_threads(1)
SIDE = 16
OF_VIEWS = {"crop_agreement", "lidar", "alignment"}


def representation(images: np.ndarray, encoder: Encoder | Callable[[Tensor], Tensor]) -> Representation:
    own = encoder if isinstance(encoder, Encoder) else Reads(encoder)
    rows = list(extract_features(own, {"images": torch.from_numpy(images)}, torch.device("cpu")))
    features = {layer: torch.cat([batch[layer] for batch in rows]).numpy() for layer in rows[0]}
    return Representation(
        tuple(features), lambda _, layer: features[layer], no_labels, 0, encoder=lambda: deepcopy(own),
        samples=lambda _: {"images": images}, truth=no_labels, precision="float32",
    )  # fmt: skip


def colours(samples: int, seed: int = 0) -> np.ndarray:
    """Pictures of one colour each, which no crop and no flip changes."""
    drawn = np.random.default_rng(seed).integers(0, 256, size=(samples, 3, 1, 1), dtype=np.uint8)
    return np.ascontiguousarray(np.broadcast_to(drawn, (samples, 3, SIDE, SIDE)))


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size=(samples, 3, SIDE, SIDE), dtype=np.uint8)


def mean_colour(pictures: Tensor) -> Tensor:
    return pictures.mean((2, 3)) - 0.5


def chaos(pictures: Tensor) -> Tensor:
    """Numbers that have nothing in common for two pictures that differ at all."""
    weights = torch.randn(pictures[0].numel(), 32, generator=torch.Generator().manual_seed(0))
    return torch.sin(300 * pictures.flatten(1) @ weights)


def ones(pictures: Tensor) -> Tensor:
    return torch.full((len(pictures), 24), 0.3)


def values(findings: Findings, layer: str = "pooled") -> dict[str, float]:
    return {score.metric: score.value for score in findings.scores if score.layer == layer}


def found(images: np.ndarray, encoder: Encoder | Callable[[Tensor], Tensor], **settings: Any) -> dict[str, float]:
    return values(label_free.evaluate(representation(images, encoder), seed=0, **settings))


# ---- encoders whose answers are known


def test_an_oracle_scores_one() -> None:
    """An encoder that gives the same for every view of a sample, and something else for another sample."""
    scores = label_free.evaluate(representation(colours(80), mean_colour), seed=0).scores
    agreement = next(score for score in scores if score.metric == "crop_agreement")
    assert (agreement.value, agreement.low, agreement.high) == (1, 1, 1)
    assert values(Findings(scores))["alignment"] == pytest.approx(0, abs=1e-9)


def test_a_constant_scores_chance() -> None:
    """Nothing is gained by giving all samples the same, and a note says what has happened."""
    for constant in (ones, lambda pictures: 0 * ones(pictures)):
        findings = label_free.evaluate(representation(noise(80), constant), seed=0)
        assert values(findings) == {
            "crop_agreement": pytest.approx(0, abs=1e-12), "lidar": 1, "alignment": 0, "rankme": pytest.approx(1),
            "uniformity": 0, "cluster_stability": 0,
        }  # fmt: skip
        assert any("has collapsed" in note for note in findings.notes)


def test_shuffled_truth_scores_chance() -> None:
    """Views that have nothing in common for the encoder: the nearest of one say nothing of those of the other."""
    scores = found(noise(400), chaos)
    assert scores["crop_agreement"] == pytest.approx(0, abs=0.02)
    assert scores["cluster_stability"] == pytest.approx(0, abs=0.1)
    assert scores["lidar"] > 5
    assert scores["alignment"] == pytest.approx(2, abs=0.1)


def test_a_collapse_to_few_groups_is_no_agreement_within_them() -> None:
    """Eight groups of equal samples: which of a group are nearest is left to chance."""
    images = colours(160)
    images[:] = images[np.arange(160) % 8]
    findings = label_free.evaluate(representation(images, mean_colour), seed=0, neighbours=4)
    chance = 4 / 159
    assert values(findings)["crop_agreement"] == pytest.approx((4 / 19 - chance) / (1 - chance))


def test_an_encoder_that_keeps_what_crops_keep_passes_an_untrained_one_and_one_of_pixels() -> None:
    images = world.load(seed=0, train=1, test=300, size=32).test.images.numpy()
    torch.manual_seed(0)
    good = found(images, mean_colour)["crop_agreement"]
    untrained = found(images, ResNet(depth=10, width=8))["crop_agreement"]
    assert good > untrained + 0.1
    assert untrained > found(images, chaos)["crop_agreement"]


# ---- what holds for any protocol


def test_same_seed_same_numbers() -> None:
    torch.manual_seed(0)
    given = representation(noise(120), ResNet(depth=10, width=4))
    first = label_free.evaluate(given, seed=3, samples=100)
    assert first == label_free.evaluate(given, seed=3, samples=100)
    other = label_free.evaluate(given, seed=4, samples=100)
    assert all(a.value != b.value for a, b in zip(first.scores, other.scores, strict=True))
    for score in first.scores:
        assert score.low <= score.value <= score.high


def test_the_order_of_samples_does_not_matter() -> None:
    """Exactly, where nothing is drawn: of pictures that no view changes."""
    images = colours(90)
    first, moved = (found(given, mean_colour) for given in (images, images[np.random.default_rng(0).permutation(90)]))
    for metric in ("crop_agreement", "alignment", "rankme", "uniformity"):
        assert moved[metric] == pytest.approx(first[metric], abs=1e-9)
    assert moved["cluster_stability"] == pytest.approx(first["cluster_stability"], abs=0.25)


def test_missing_truth_is_told() -> None:
    """Labels are never asked for. Without an encoder or samples, what needs views is left out, and a note says so."""
    given = representation(noise(60), chaos)
    assert set(values(label_free.evaluate(given, seed=0))) == set(label_free.UNITS)
    frozen = Representation(given.layers, given.features, no_labels, 0)
    findings = label_free.evaluate(frozen, seed=0)
    assert set(values(findings)) == set(label_free.UNITS) - OF_VIEWS
    assert findings.notes[0].startswith("There are no views, so crop_agreement, lidar and alignment are left out: ")
    deaf = replace(kinds.representation("text"), encoder=kinds.Ear)
    findings = label_free.evaluate(deaf, seed=0)
    assert "the encoder 'ear' reads sound, and these samples have tokens" in findings.notes[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 19}, "samples = 19 must be at least 20"),
        ({"views": 1}, "views = 1 must be at least 2"),
        ({"neighbours": 0}, "neighbours = 0 must be at least 1"),
        ({"clusters": 1}, "clusters = 1 must be at least 2"),
        ({"draws": 1}, "draws = 1 must be at least 2"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 1.5}, "flip is 1.5"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    defaults = {name: value for name, value in label_free.evaluate.__kwdefaults__.items() if name != "seed"}
    for call in (
        lambda: label_free.evaluate(Representation(("pooled",), no_labels, no_labels, 0), seed=0, **settings),
        lambda: label_free.refuse(**(defaults | settings)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_layers_that_are_not_there_are_refused() -> None:
    given = representation(noise(30), chaos)
    for layers in ("res9", [], ["last", "res9"]):
        with pytest.raises(NoSuchLayer, match="must name at least one of last, pooled"):
            label_free.evaluate(given, seed=0, layers=layers)
    findings = label_free.evaluate(given, seed=0, layers=["last", "pooled", "last"])
    assert [(score.layer, score.metric) for score in findings.scores] == [
        (layer, metric) for layer in ("last", "pooled") for metric in values(findings)
    ]


@pytest.mark.parametrize("kind", ["sound", "text"])
def test_other_kinds_have_views_of_their_own(kind: str) -> None:
    given = kinds.representation(kind)
    first, again = (label_free.evaluate(given, seed=0) for _ in range(2))
    assert first == again
    assert set(values(first)) == set(label_free.UNITS) - {"alpha_req"}  # 16 features are too few for a fit
    assert values(first)["crop_agreement"] > 0.1


def test_few_samples_are_measured_as_far_as_they_go() -> None:
    assert set(found(noise(20), ResNet(depth=10, width=4))) >= {"crop_agreement", "rankme", "cluster_stability"}
    with pytest.raises(NeedsSamples, match="at least 20 test samples; there are 19"):
        found(noise(19), chaos)


def test_more_features_than_samples_leave_out_what_cannot_be_known() -> None:
    twice = representation(noise(30), lambda pictures: pictures.flatten(1).repeat(1, 2))
    findings = label_free.evaluate(twice, seed=0)
    assert set(values(findings)) == set(label_free.UNITS) - {"lidar"}  # 1,470 views at most, and 1,536 features
    assert values(findings)["rankme"] <= 30
    assert any("lidar is left out" in note for note in findings.notes)


def test_many_features_are_given_more_views() -> None:
    """Of 40 samples with 768 features each there are 40 views, so that lidar is known."""
    findings = label_free.evaluate(representation(noise(40), lambda pictures: pictures.flatten(1)), seed=0)
    assert set(values(findings)) == set(label_free.UNITS)


def test_features_that_are_no_numbers_are_refused() -> None:
    given = representation(noise(30), chaos)
    wrong = replace(given, features=lambda *_: np.full((30, 4), np.nan))
    with pytest.raises(ValueError, match="'pooled' has features that are not finite"):
        label_free.evaluate(wrong, seed=0)
    views = replace(given, encoder=lambda: Reads(lambda pictures: pictures.flatten(1) * float("nan")))
    with pytest.raises(ValueError, match="'pooled' has features that are not finite"):
        label_free.evaluate(views, seed=0)
