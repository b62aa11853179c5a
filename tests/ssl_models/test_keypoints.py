import numpy as np
import pytest
import torch
from torch import nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsTruth
from ssl_models.modalities import image
from ssl_models.protocols import keypoints
from ssl_models.protocols._common.score import Representation
from ssl_models.protocols._keypoints import heat_maps

torch.set_num_threads(1)
SIDE, POINTS = 16, 3


class Reader(Encoder):
    """One map, the picture itself times a weight that may be trained; with weight 0 it knows nothing."""

    name = "reader"
    modalities = (image,)
    dim = 3

    def __init__(self, weight=1.0):
        super().__init__()
        self.settings = {}
        self.weight = nn.Parameter(torch.tensor(weight))

    def standardise(self, inputs):
        return inputs

    def blocks(self):
        return {"map": lambda inputs: inputs * self.weight}

    def pool(self, last):
        return last.mean((2, 3))


def pictures(samples, seed):
    """Dark but for one pixel in channel p, where point p is."""
    draws = np.random.default_rng(seed)
    images = np.zeros((samples, 3, SIDE, SIDE), np.uint8)
    points = np.ones((samples, POINTS, 3), np.float32)
    places = draws.integers(SIDE, size=(samples, POINTS, 2))
    points[..., :2] = places + 0.5
    rows = np.arange(samples)[:, None]
    images[rows, np.arange(POINTS)[None], places[..., 1], places[..., 0]] = 255
    return images, {"points": points, "extent": np.full(samples, float(SIDE), np.float32)}


def representation(weight=1.0, train=None, test=None, encoder=None):
    splits = {"train": train or pictures(128, 0), "test": test or pictures(64, 1)}
    return Representation(
        ("map", "pooled"),
        lambda *_: None,
        lambda _: None,
        0,
        encoder=lambda: encoder or Reader(weight),
        samples=lambda split: {"images": splits[split][0]},
        truth=lambda split, kind: splits[split][1][kind],
        precision="float32",
    )


def evaluate(given, **settings):
    return keypoints.evaluate(
        given, **{"seed": 0, "layers": ["map"], "width": 16, "epochs": 12, "learning_rate": 0.1, **settings}
    )


def scores(given, **settings):
    return {score.metric: score for score in evaluate(given, **settings).scores}


@pytest.mark.parametrize("frozen", [True, False])
def test_an_oracle_scores_one(frozen):
    found = scores(representation(), frozen=frozen)
    assert next(iter(found)) == "pck_at_20"
    assert all(found[f"pck_at_{share}"].value == 1 for share in (10, 20, 50))
    assert found["pck_at_5"].value > 0.9  # 0.8 pixels: less than a cell
    assert found["pck_auc"].value > 0.9


def test_a_constant_scores_chance():
    """Of evenly spread points a disc of radius 0.2 holds at most pi 0.2^2."""
    found = scores(representation(0.0))
    assert found["pck_at_20"].low <= np.pi * 0.04
    assert found["pck_mean_pose"].value == pytest.approx(np.pi * 0.04, abs=0.06)
    assert found["pck_at_50"].value < 0.8


def test_shuffled_truth_scores_chance():
    """Of the test pictures: trained on shuffled ones, the largest response is at a bright pixel or not by a coin's toss
    for each point, since a maximum is taken however faint the map is, and here the pixel is the answer."""
    images, truth = pictures(64, 1)
    points = truth["points"][np.random.default_rng(5).permutation(64)]
    assert scores(representation(test=(images, truth | {"points": points})))["pck_at_20"].low <= np.pi * 0.04


def test_same_seed_same_numbers():
    assert evaluate(representation(), epochs=2).scores == evaluate(representation(), epochs=2).scores
    assert evaluate(representation(), epochs=2, seed=1).scores != evaluate(representation(), epochs=2).scores


def test_the_order_of_samples_does_not_matter():
    """Batches hold others, and the intervals other resamples, so that the numbers are close and not equal."""

    def turned(split):
        images, truth = split
        rows = np.random.default_rng(3).permutation(len(images))
        return images[rows], {kind: values[rows] for kind, values in truth.items()}

    train, test = pictures(128, 0), pictures(64, 1)
    first = scores(representation(train=train, test=test))
    second = scores(representation(train=turned(train), test=turned(test)))
    assert second["pck_auc"].value == pytest.approx(first["pck_auc"].value, abs=0.02)
    assert second["pck_mean_pose"].value == first["pck_mean_pose"].value


def test_missing_truth_is_told():
    def none(split, kind):
        raise NeedsTruth(f"the {split} split has no {kind}")

    given = Representation(("map", "pooled"), lambda *_: None, lambda _: None, 0, truth=none)
    with pytest.raises(NeedsTruth, match="no points"):
        evaluate(given)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": []}, "layers = .* at least one layer"),
        ({"layers": "map"}, "layers = 'map'"),
        ({"layers": ["map", "map"]}, "each once"),
        ({"layers": ["res9"]}, "'res9'; choose from map"),
        ({"width": 0}, "width = 0 must be at least 1"),
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be over 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        evaluate(representation(), **settings)


def test_points_that_cannot_be_scored_are_refused():
    images, truth = pictures(8, 0)
    for broken, message in (
        (truth | {"extent": np.zeros(8)}, "seen where the extent is above 0"),
        (truth | {"points": truth["points"][..., :2]}, "are not"),
        (truth | {"points": np.full_like(truth["points"], np.inf)}, "must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(representation(test=(images, broken)))


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_is_not_trained(frozen):
    encoder = Reader(0.7)
    evaluate(representation(encoder=encoder), frozen=frozen, epochs=2)
    assert (encoder.weight.item() == pytest.approx(0.7, abs=1e-6)) == frozen


def test_kept_maps_say_what_fresh_ones_say(monkeypatch):
    kept = scores(representation(), epochs=4)["pck_auc"].value
    monkeypatch.setattr(keypoints, "LARGEST_STORE", 0)
    assert scores(representation(), epochs=4)["pck_auc"].value == pytest.approx(kept, abs=0.01)


def test_what_is_not_seen_is_neither_learned_nor_scored():
    images, truth = pictures(64, 1)
    hidden = truth["points"].copy()
    hidden[:, 1] = np.nan, np.nan, 0  # a point that no picture shows
    hidden[:32, 0, 2] = 0
    findings = evaluate(representation(test=(images, truth | {"points": hidden})))
    assert findings.scores[0].value == 1
    assert set(findings.curves["pck"]) == {"threshold", "all", "mean pose", "point 1", "point 3"}


def test_a_target_is_a_gaussian_about_its_point():
    """In cells of 2 pixels: the point (5, 3) is the middle of cell (2, 1); its neighbour is one cell off."""
    target = heat_maps.targets(torch.tensor([[[5.0, 3.0, 1.0]]]), (8, 16), (4, 8))[0, 0]
    assert target.shape == (4, 8)
    assert target[1, 2] == 1
    assert target[1, 3] == pytest.approx(np.exp(-1 / (2 * 1.5**2)))
    assert target[2, 3] == pytest.approx(np.exp(-2 / (2 * 1.5**2)))


def test_peaks_by_hand():
    heat = torch.zeros(1, 3, 4, 8)
    heat[0, 0, 1, 2], heat[0, 0, 1, 3] = 1.0, 0.5  # a quarter to the right
    heat[0, 1, 2, 5], heat[0, 1, 1, 5] = 1.0, 0.5  # a quarter up
    heat[0, 2, 0, 0] = 1.0  # at the corner it stays
    found = heat_maps.peaks(heat, (8, 16))[0]
    assert found.tolist() == [[2 * 2.75, 2 * 1.5], [2 * 5.5, 2 * 2.25], [1.0, 1.0]]


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_peaks_of_targets_are_the_points(size):
    draws = torch.rand(50, 4, 2, generator=torch.Generator().manual_seed(0))
    points = torch.cat([draws * torch.tensor([size[1] - 8, size[0] - 8]) + 4, torch.ones(50, 4, 1)], 2)
    found = heat_maps.peaks(heat_maps.targets(points, size, (size[0] // 4, size[1] // 4)), size)
    assert (found - points[..., :2]).abs().max() <= 1.01  # a quarter of a cell of 4 pixels


def test_scores_equal_the_naive_loop():
    draws = np.random.default_rng(0)
    points = np.concatenate([draws.uniform(0, 50, (20, 5, 2)), draws.integers(2, size=(20, 5, 1))], 2)
    found, extent = draws.uniform(0, 50, (20, 5, 2)), draws.uniform(20, 90, 20) * (np.arange(20) != 3)
    errors = keypoints.relative_errors(found, points, extent)
    naive = []
    for guess, truth, length in zip(found, points, extent, strict=True):
        for (x, y), (true_x, true_y, seen) in zip(guess, truth, strict=True):
            if seen and length:
                naive.append(((x - true_x) ** 2 + (y - true_y) ** 2) ** 0.5 / length)
    expected = {f"pck_at_{t}": sum(e <= t / 100 for e in naive) / len(naive) for t in (20, 5, 10, 50)}
    lines = np.linspace(0, 0.5, 20001)
    expected["pck_auc"] = np.trapezoid([np.mean(np.array(naive) <= line) for line in lines], lines) / 0.5
    for score in keypoints._scores(errors, errors, 0)[:-1]:
        assert score.value == pytest.approx(expected[score.metric], abs=1e-4)
        assert score.low <= score.value <= score.high


def test_a_bootstrap_over_images_has_the_width_of_the_normal_interval():
    hits = np.random.default_rng(0).random(400) < 0.3
    score = keypoints._scores(np.where(hits, 0.1, 0.9)[:, None], np.ones((400, 1)), 0)[0]
    assert score.high - score.low == pytest.approx(2 * 1.96 * (0.3 * 0.7 / 400) ** 0.5, rel=0.12)


def test_curve_and_picture():
    findings = evaluate(representation(), epochs=1)
    curve = findings.curves["pck"]
    assert {len(column) for column in curve.values()} == {26}
    assert all(low <= high for low, high in zip(curve["all"], curve["all"][1:], strict=False))
    assert curve["all"][10] == pytest.approx(findings.scores[0].value)
    picture = findings.pictures["found"]
    assert picture.dtype == np.uint8
    assert picture.shape == (2 * 16 * SIDE, 4 * 16 * SIDE, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 4
