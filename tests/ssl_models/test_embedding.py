"""The map: its two numbers by hand, by the definition and by scikit-learn, and pictures that say what they show."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch

from ssl_models import figures
from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.protocols import embedding
from ssl_models.protocols._common.score import Findings, Representation

torch.set_num_threads(1)
CLASSES, SAMPLES = 4, 96
IDS = np.arange(SAMPLES) % CLASSES
FEW = {"samples": SAMPLES, "perplexity": 10.0}


def none(*_: str) -> np.ndarray:
    raise NeedsTruth("there are no annotations")


def no_labels(_: str) -> np.ndarray:
    raise NeedsLabels("there are no labels")


def blobs(spread: float = 1.0, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(SAMPLES, 6)) * spread + 10 * np.eye(CLASSES, 6)[IDS]


def representation(features, labels=IDS, truth=none, names=("ant", "bee", "cat", "dog")) -> Representation:
    def known(split):
        return no_labels(split) if labels is None else labels

    stored = np.asarray(features, np.float16)
    return Representation(("res5", "pooled"), lambda _split, _layer: stored, known, CLASSES, names, truth=truth)


def found(findings: Findings) -> dict[str, float]:
    return {score.metric: score.value for score in findings.scores}


@cache
def example() -> Findings:
    truths = {"clusters": np.arange(SAMPLES) // 24, "factors": factors()}
    return embedding.evaluate(
        representation(blobs(), truth=lambda _, kind: truths[kind]), seed=0, factors=["size", "hue", "light"], **FEW
    )


def factors() -> dict[str, np.ndarray]:
    angle = np.linspace(0, 6, SAMPLES)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    return {"class": IDS.astype(np.float32), "hue": circle, "light": circle, "size": angle, "mirror": np.sign(angle)}


# ---- the numbers


def test_trust_by_hand() -> None:
    features = np.array([0.0, 1, 3, 7, 15, 31])[:, None]
    np.testing.assert_array_equal(embedding.trust(features, np.repeat(features, 2, axis=1), 1), np.ones(6))
    swapped = np.repeat(features[[0, 1, 5, 3, 4, 2]], 2, axis=1)  # 2 and 5 change places in the map
    # Nearest in the map: 1, 0, 4, 5, 3, 1; by features these have the ranks 1, 1, 4, 5, 1, 4.
    # k = 1, N = 6: a rank r costs (r - 1) * 2 / (1 * (12 - 3 - 1)).
    np.testing.assert_allclose(embedding.trust(features, swapped, 1), 1 - np.array([0, 0, 3, 4, 0, 3]) / 4)


def test_trust_equals_scikit_learns() -> None:
    from sklearn.manifold import trustworthiness

    draws = np.random.default_rng(0)
    features = draws.normal(size=(600, 5)) + 100  # more than one block of rows
    points = features[:, :2] + 0.3 * draws.normal(size=(600, 2))
    ours = embedding.trust(features, points)
    assert ours.mean() == pytest.approx(trustworthiness(features, points, n_neighbors=5), abs=1e-9)
    assert 0.5 < ours.mean() < 0.99


def test_agreement_equals_the_loop() -> None:
    points, labels = np.random.default_rng(1).normal(size=(40, 2)), np.arange(40) % 3
    expected = []
    for i in range(40):
        others = sorted((j for j in range(40) if j != i), key=lambda j: ((points[i] - points[j]) ** 2).sum())
        expected.append(np.mean([labels[j] == labels[i] for j in others[:10]]))
    np.testing.assert_allclose(embedding.agreement(points, labels), expected)


def test_the_interval_is_that_of_a_mean_over_samples() -> None:
    values = np.random.default_rng(2).normal(size=400)
    score = embedding._mean("pooled", "m", values, 0)
    half = 1.96 * values.std() / 20
    assert (score.low, score.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.02)


def test_groups_far_apart_stay_apart() -> None:
    scores = found(example())
    assert scores["neighbour_agreement"] > 0.99
    assert scores["trustworthiness"] > 0.85
    spread = found(embedding.evaluate(representation(blobs(8)), seed=0, **FEW))
    assert spread["neighbour_agreement"] < 0.8


# ---- what every protocol shows


def test_an_oracle_scores_one() -> None:
    """Features that are the class, and little else: all neighbours agree. And a map of a plane onto itself."""
    features = np.eye(CLASSES)[IDS] + 0.01 * np.random.default_rng(0).normal(size=(SAMPLES, CLASSES))
    scores = {s.metric: s for s in embedding.evaluate(representation(features), seed=0, **FEW).scores}
    assert scores["neighbour_agreement"].value == 1
    plane = blobs()[:, :2]
    assert embedding.trust(plane, 3 * plane).min() == 1


def test_a_constant_scores_chance() -> None:
    """Chance is the share of the class, and for ranks that mean nothing 1 - (N - 1 - k)(N - k) / ((N - 1) (2 N - 3 k
    - 1)), near a half."""
    scores = {
        score.metric: score
        for score in embedding.evaluate(representation(np.full((SAMPLES, 3), 0.3)), seed=0, **FEW).scores
    }
    chance = 1 - (SAMPLES - 6) * (SAMPLES - 5) / ((SAMPLES - 1) * (2 * SAMPLES - 16))
    assert scores["trustworthiness"].value == pytest.approx(chance, abs=0.08)
    assert scores["neighbour_agreement"].value == pytest.approx(1 / CLASSES, abs=0.05)


def test_shuffled_truth_scores_chance() -> None:
    labels = np.random.default_rng(0).permutation(IDS)
    scores = found(embedding.evaluate(representation(blobs(), labels), seed=0, **FEW))
    assert scores["neighbour_agreement"] == pytest.approx(1 / CLASSES, abs=0.06)
    assert scores["trustworthiness"] == pytest.approx(found(example())["trustworthiness"])


def test_same_seed_same_numbers() -> None:
    given = representation(blobs())
    first, again, other = (embedding.evaluate(given, seed=seed, samples=60) for seed in (3, 3, 4))
    assert first.scores == again.scores
    assert all(np.array_equal(first.pictures[name], again.pictures[name]) for name in first.pictures)
    assert first.scores != other.scores


def test_the_order_of_samples_does_not_matter() -> None:
    """But for rounding, which gradient descent enlarges: another order is another map of the same features."""
    rows = np.random.default_rng(5).permutation(SAMPLES)
    moved = found(embedding.evaluate(representation(blobs()[rows], IDS[rows]), seed=0, **FEW))
    for metric, value in found(example()).items():
        assert moved[metric] == pytest.approx(value, abs=0.03)


def test_missing_truth_is_told() -> None:
    """By what is left out: the map and its trustworthiness need neither labels nor annotations."""
    findings = embedding.evaluate(representation(blobs(), None), seed=0, **FEW)
    assert set(found(findings)) == {"trustworthiness"}
    assert findings.pictures == {}
    assert set(embedding.evaluate(representation(blobs()), seed=0, **FEW).pictures) == {"class"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "res9"}, "layer = 'res9' must be one of res5, pooled"),
        ({"layer": ""}, "layer = '' must be"),
        ({"samples": 19}, "samples = 19 must be at least 20"),
        ({"perplexity": 0.5}, "perplexity = 0.5"),
        ({"perplexity": float("nan")}, "perplexity = nan"),
        ({"factors": "hue"}, "factors = 'hue' must be a list"),
        ({"factors": ["a", "b", "c", "d", "e"]}, "at most 4 names"),
    ],
)
def test_bad_settings_are_refused(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        embedding.evaluate(representation(blobs()), seed=0, **settings)


def test_a_factor_that_the_data_do_not_know_is_refused_before_the_map() -> None:
    given = representation(np.zeros((SAMPLES, 2)), truth=lambda _, kind: factors() if kind == "factors" else none())
    with pytest.raises(ValueError, match=r"do not know \['hue_'\]; they know \['class', 'hue'"):
        embedding.evaluate(given, seed=0, factors=["hue_"])


def test_too_few_or_broken_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(19, 6\); a map takes 20 samples"):
        embedding.evaluate(representation(blobs()[:19]), seed=0)
    with pytest.raises(ValueError, match="'pooled' has test features that are not finite"):
        embedding.evaluate(representation(np.full((SAMPLES, 2), np.inf)), seed=0)


# ---- the pictures


def test_pictures() -> None:
    findings = example()
    assert set(findings.pictures) == {"class", "pseudo_label", "factors"}
    for picture in findings.pictures.values():
        assert picture.dtype == np.uint8
        assert picture.shape[1:] == (1100, 3)


def colours(picture: np.ndarray) -> set[str]:
    return {"#{:02X}{:02X}{:02X}".format(*pixel) for pixel in np.unique(picture.reshape(-1, 3), axis=0)}


def test_every_group_has_its_colour_and_groups_are_where_their_samples_are() -> None:
    points = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    picture = embedding._draw_groups(points, np.array([0, 1, 2]), ("left", "right", "up"))
    blue, red, green = figures.PALETTE[:3]
    assert {blue, red, green} <= colours(picture)
    assert not set(figures.PALETTE[3:]) & colours(picture)
    left_below, right_above = picture[400:, :400], picture[:400, 400:850]
    assert blue in colours(left_below)
    assert red not in colours(left_below)
    assert red in colours(right_above)


def test_a_legend_names_what_fits_and_counts_the_rest() -> None:
    points = np.random.default_rng(0).normal(size=(400, 2))
    for groups in (1, 36, 200):
        picture = embedding._draw_groups(points, np.arange(400) % groups, ())
        right = picture[:, 1080:]
        assert picture.shape == (800, 1100, 3)
        assert (right == 255).all(), "the legend runs off the picture"


def test_an_angle_goes_round() -> None:
    """Just below and just above 0 degrees look alike: no other colour is drawn. (The bar lies beyond the points.)"""
    points = np.array([[0.0, 0.0], [1.0, 1.0]])
    near, far = (np.array([[1.0, -1e-3], ends]) for ends in ([1.0, 1e-3], [-1.0, 0.0]))
    for angles, greens in ((near, False), (far, True)):
        picture = embedding._draw_factors(points, {"hue": angles})[:, :1010].astype(int)
        assert picture.shape[1] == 1010
        assert bool(((picture[..., 1] > 200) & (picture[..., 0] < 60)).any()) == greens


def test_torch_is_never_needed() -> None:
    code = (
        "import sys, ssl_models.protocols.embedding; assert not {'torch', 'sklearn', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
