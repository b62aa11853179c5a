import subprocess
import sys
from math import exp

import numpy as np
import pytest

from ssl_models.errors import NeedsLabels
from ssl_models.protocols import knn
from ssl_models.protocols._common.score import Representation

CLASSES = 7


@pytest.fixture(scope="module")
def problem():
    draws = np.random.default_rng(0)
    centres = draws.normal(size=(CLASSES, 8))
    labels = {"train": draws.integers(CLASSES, size=150), "test": draws.integers(CLASSES, size=60)}
    features = {
        split: (centres[ids] + draws.normal(size=(len(ids), 8))).astype(np.float16) for split, ids in labels.items()
    }
    return features, labels


def representation(features, labels, layers=("res5", "pooled")):
    return Representation(layers, lambda split, _layer: features[split], lambda split: labels[split], CLASSES)


def naive_top1(features, labels, neighbours, temperature):
    """The sum over neighbours, written out."""
    hits = 0
    train = [row / np.sqrt((row**2).sum()) for row in features["train"].astype(float)]
    for row, label in zip(features["test"].astype(float), labels["test"], strict=True):
        query = row / np.sqrt((row**2).sum())
        ranked = sorted(((float(query @ other), int(k)) for other, k in zip(train, labels["train"], strict=True)))
        votes = [0.0] * CLASSES
        for cosine, k in ranked[::-1][:neighbours]:
            votes[k] += exp(cosine / temperature)
        hits += votes.index(max(votes)) == label
    return hits / len(labels["test"])


@pytest.mark.parametrize(("neighbours", "temperature"), [(1, 0.07), (20, 0.07), (20, 1.0), (200, 0.07)])
def test_equals_the_naive_loop(problem, neighbours, temperature):
    scores = knn.evaluate(representation(*problem), seed=0, neighbours=neighbours, temperature=temperature).scores
    assert scores[0].value == pytest.approx(naive_top1(*problem, neighbours, temperature))


def test_votes_by_hand():
    votes = knn.class_votes(np.array([[1, 0.6, 0]], np.float32), np.array([[0, 1, 1]]), 2, 0.5)
    # less the largest, the votes are e^0 against e^-.8 + e^-2
    assert votes[0] == pytest.approx([1.0, exp(-2) + exp(-0.8)], rel=1e-5)


def test_layers_and_metrics(problem):
    scores = knn.evaluate(representation(*problem), seed=0, layers=["pooled", "res5"]).scores
    assert [(score.layer, score.metric) for score in scores] == [
        ("pooled", "top1"),
        ("pooled", "top5"),
        ("res5", "top1"),
        ("res5", "top5"),
    ]
    assert [score.layer for score in knn.evaluate(representation(*problem), seed=0).scores] == ["pooled", "pooled"]


def test_length_of_a_feature_does_not_matter(problem):
    features, labels = problem
    lengths = np.random.default_rng(1).uniform(0.1, 10, size=(150, 1))
    stretched = {**features, "train": features["train"].astype(float) * lengths}
    assert (
        knn.evaluate(representation(stretched, labels), seed=0).scores[0].value
        == knn.evaluate(representation(features, labels), seed=0).scores[0].value
    )


def test_a_tiny_temperature_is_the_nearest_neighbour(problem):
    given = representation(*problem)
    nearest = knn.evaluate(given, seed=0, neighbours=1).scores[0].value
    assert knn.evaluate(given, seed=0, temperature=1e-7).scores[0].value == nearest


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbours": 0}, "neighbours = 0 must be at least 1"),
        ({"temperature": 0.0}, "temperature = 0.0 must be finite and above 0"),
        ({"temperature": float("nan")}, "temperature = nan"),
        ({"layers": "res9"}, "layers = 'res9' must name at least one of res5, pooled"),
        ({"layers": []}, "at least one of"),
    ],
)
def test_settings_out_of_range_are_refused(problem, settings, message):
    with pytest.raises(ValueError, match=message):
        knn.evaluate(representation(*problem), seed=0, **settings)


def test_broken_features_and_missing_labels_are_refused(problem):
    features, labels = problem
    holed = {**features, "test": np.full_like(features["test"], np.nan)}
    with pytest.raises(ValueError, match="'pooled' has test features that are not finite"):
        knn.evaluate(representation(holed, labels), seed=0)
    with pytest.raises(ValueError, match="for 149 labels"):
        knn.evaluate(representation(features, {**labels, "train": labels["train"][1:]}), seed=0)

    def none(split):
        raise NeedsLabels(f"{split} has no labels")

    with pytest.raises(NeedsLabels):
        knn.evaluate(Representation(("pooled",), lambda split, _layer: features[split], none, 2), seed=0)


@pytest.mark.parametrize("module", ["ssl_models.protocols.knn", "ssl_models.clustering"])
def test_faiss_is_never_beside_torch(module):
    code = f"import faiss, {module}, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
