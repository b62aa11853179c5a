"""A linear classifier for each set of labels: as linear.py, with cepstral coefficients beside it for sound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ssl_models.errors import NeedsTruth
from ssl_models.protocols import linear, probes
from ssl_models.protocols._common.mfcc import pooled_mfcc
from ssl_models.protocols._common.score import Representation
from tests.ssl_models import kinds

TRAIN, TEST = 240, 150
SETS = {"digit": ("nought", "one", "two", "three", "four"), "speaker": ("ann", "bob", "cai")}
FAST = {"weight_decays": [0.01]}


def ids(samples: int, classes: int) -> np.ndarray:
    """Such that neither set tells of the other."""
    return np.arange(samples) // (1 if classes == 5 else 5) % classes


def given(features, sets=SETS, labels=None, layers=("conv1", "pooled"), **more) -> Representation:
    """features: split -> (N, D). labels: set -> split -> (N,)."""
    known = labels or {
        name: {split: ids(len(rows), len(classes)) for split, rows in features.items()}
        for name, classes in sets.items()
    }

    def truth(split: str, kind: str) -> np.ndarray:
        if (name := kind.removeprefix("labels.")) not in known:
            raise NeedsTruth(f"there are no {kind}")
        return known[name][split]

    return Representation(
        layers, lambda split, _: features[split], lambda _: None, 0, truth=truth, label_sets=sets, **more
    )


def noisy(seed: int = 0, noise: float = 0.7) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(seed)
    return {
        split: np.hstack([np.eye(5)[ids(count, 5)], np.eye(3)[ids(count, 3)]]) + noise * draws.normal(size=(count, 8))
        for split, count in (("train", TRAIN), ("test", TEST))
    }


def values(representation: Representation, **settings) -> dict[tuple[str, str], float]:
    scores = probes.evaluate(representation, **({"seed": 0} | settings)).scores
    return {(score.layer, score.metric): score.value for score in scores}


def test_each_set_scores_what_linear_does_with_it_as_labels() -> None:
    features = noisy()
    found = {(s.layer, s.metric): s for s in probes.evaluate(given(features), seed=5).scores}
    assert list(found) == [(layer, f"top1_{name}") for layer in ("conv1", "pooled") for name in SETS]
    for name, classes in SETS.items():
        labels = {split: ids(len(rows), len(classes)) for split, rows in features.items()}
        plain = replace(given(features), labels=labels.__getitem__, classes=len(classes))
        top1 = linear.evaluate(plain, seed=5).scores[0]
        own = found["conv1", f"top1_{name}"]
        assert (own.value, own.low, own.high) == (top1.value, top1.low, top1.high)
        assert 1 / len(classes) + 0.2 < own.value < 1


def test_only_the_layers_that_are_asked_for_are_measured() -> None:
    assert {layer for layer, _ in values(given(noisy()), layers="conv1", **FAST)} == {"conv1"}
    assert [layer for layer, _ in values(given(noisy()), layers=["pooled", "conv1"], **FAST)][::2] == [
        "pooled",
        "conv1",
    ]


def test_cepstral_coefficients_stand_beside_sound_and_nothing_else() -> None:
    heard = kinds.representation("sound")
    found = values(heard)
    assert list(found)[:2] == [("mfcc", "top1_word"), ("mfcc", "top1_speaker")]
    assert min(list(found.values())[:2]) > 0.95
    assert {layer for layer, _ in values(kinds.representation("text"))} == {"mean", "pooled"}


def test_cepstral_coefficients_are_those_of_what_is_heard_and_not_of_the_padding() -> None:
    heard = kinds.representation("sound")
    name, *features = next(probes._rows(heard, []))
    assert name == "mfcc"
    for split, rows in zip(("train", "test"), features, strict=True):
        samples = heard.samples(split)
        expected = pooled_mfcc(samples["sound"], kinds.RATE, samples["length"][:, 0])
        np.testing.assert_array_equal(rows, expected)
        assert not np.allclose(rows, pooled_mfcc(samples["sound"], kinds.RATE))


# ---- what every protocol shows


def test_an_oracle_scores_one() -> None:
    assert set(values(given(noisy(noise=0)), **FAST).values()) == {1.0}


def test_a_constant_scores_chance() -> None:
    constant = {split: np.full((len(rows), 4), 0.3) for split, rows in noisy().items()}
    found = values(given(constant), **FAST)
    assert found["pooled", "top1_digit"] == pytest.approx(1 / 5)
    assert found["pooled", "top1_speaker"] == pytest.approx(1 / 3)


def test_shuffled_truth_scores_chance() -> None:
    draws = np.random.default_rng(0)
    shuffled = {
        name: {"train": draws.permutation(ids(TRAIN, len(classes))), "test": ids(TEST, len(classes))}
        for name, classes in SETS.items()
    }
    found = values(given(noisy(), labels=shuffled), **FAST)
    assert found["pooled", "top1_digit"] == pytest.approx(1 / 5, abs=0.1)
    assert found["pooled", "top1_speaker"] == pytest.approx(1 / 3, abs=0.1)


def test_same_seed_same_numbers() -> None:
    first, again = (probes.evaluate(given(noisy()), seed=3).scores for _ in range(2))
    assert first == again


def test_the_order_of_samples_does_not_matter() -> None:
    features = noisy()
    rows = {split: np.random.default_rng(2).permutation(len(own)) for split, own in features.items()}
    moved = {split: own[rows[split]] for split, own in features.items()}
    labels = {
        name: {split: ids(len(own), len(c))[rows[split]] for split, own in features.items()} for name, c in SETS.items()
    }
    expected, found = values(given(features), **FAST), values(given(moved, labels=labels), **FAST)
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, abs=0.01)


def test_missing_truth_is_told() -> None:
    with pytest.raises(NeedsTruth, match="these data have no sets of labels besides their classes"):
        probes.evaluate(given(noisy(), sets={}), seed=0)
    with pytest.raises(NeedsTruth, match=r"there are no labels\.accent"):
        probes.evaluate(given(noisy(), sets={"accent": ("a", "b")}, labels={"speaker": {}}), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "res9"}, "layers = 'res9' must name at least one of conv1, pooled"),
        ({"layers": []}, r"layers = \[\] must name"),
        ({"weight_decays": []}, "weight_decays"),
        ({"iterations": 0}, "iterations = 0"),
    ],
)
def test_bad_settings_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        probes.evaluate(given(noisy()), seed=0, **settings)


def test_labels_that_are_no_classes_of_their_set_are_refused() -> None:
    wrong = {name: {"train": ids(TRAIN, 5), "test": ids(TEST, 5)} for name in SETS}
    with pytest.raises(ValueError, match="train labels of the speaker must be at least one, each from 0 to 2"):
        probes.evaluate(given(noisy(), labels=wrong), seed=0)
