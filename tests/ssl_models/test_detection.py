"""Detection with encoders that are given the answer, none, or something to learn.

A picture of these tests holds one box, filled with the number of its class from 1; `Answers` shows class and sides.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssl_models.encoders import build_encoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import NeedsTruth
from ssl_models.modalities import image
from ssl_models.protocols import detection
from ssl_models.protocols._common.score import Representation
from ssl_models.protocols._detection.detector import Detector

torch.set_num_threads(1)
SIDE, CLASSES, TRAIN, TEST = 32, 3, 64, 32
SETTINGS = {"epochs": 6, "batch_size": 4, "learning_rate": 0.2}
QUICK = {"epochs": 2, "batch_size": 4, "learning_rate": 0.1}


class Answers(Encoder):
    """Maps of strides 2, 4 and 8: the class, and how far each place is from each side; or the same everywhere."""

    name = "answers"
    modalities = (image,)

    def __init__(self, constant=False):
        super().__init__()
        self.constant, self.dim, self.settings = constant, CLASSES + 4, {}

    def standardise(self, inputs):
        labels = (inputs[:, :1] * 255).round()
        covered = labels > 0
        across, down = covered.any(2).float()[:, 0], covered.any(3).float()[:, 0]  # (B, SIDE) both
        starts = torch.stack([across.argmax(1), down.argmax(1)], 1)
        ends = SIDE - torch.stack([across.flip(1).argmax(1), down.flip(1).argmax(1)], 1)
        place = torch.stack(torch.meshgrid(2 * [torch.arange(SIDE) + 0.5], indexing="xy"))  # (2, H, W): x and y
        distances = [(side[:, :, None, None] - place) / 8 for side in (starts, ends)]
        shown = torch.cat([*(labels == k for k in range(1, CLASSES + 1)), *(d * covered for d in distances)], 1)
        return torch.full_like(shown, 0.5) if self.constant else shown

    def blocks(self):
        strides = {"res3": 2, "res4": 2, "res5": 2}
        return {
            name: lambda hidden, stride=stride: hidden[:, :, stride // 2 :: stride, stride // 2 :: stride]
            for name, stride in strides.items()
        }

    def pool(self, last):
        return last.mean((2, 3))


def scenes(samples, seed):
    """Images (N, 3, SIDE, SIDE) with one box each, (N, 7)."""
    draws = np.random.default_rng(seed)
    extent = draws.integers(8, 17, size=(samples, 2))
    corner = draws.integers(0, SIDE + 1 - extent)
    columns = [np.arange(samples)[:, None], draws.integers(CLASSES, size=(samples, 1)), corner, corner + extent]
    boxes = np.hstack([*columns, np.zeros((samples, 1))])
    images = np.zeros((samples, 3, SIDE, SIDE), np.uint8)
    for picture, (_, label, left, top, right, bottom, _) in zip(images, boxes.astype(int).tolist(), strict=True):
        picture[:, top:bottom, left:right] = label + 1
    return images, boxes.astype(np.float32)


@pytest.fixture(scope="module")
def data():
    return {"train": scenes(TRAIN, 0), "test": scenes(TEST, 1)}


def representation(data, encoder=Answers, classes=CLASSES):
    return Representation(
        ("res3", "res4", "res5", "pooled"),
        lambda _split, _layer: np.zeros((0, 0)),
        lambda _split: np.zeros(0, np.int64),
        classes,
        class_names=("cat", "dog", "eel")[:classes],
        encoder=encoder,
        samples=lambda split: {"images": data[split][0]},
        truth=lambda split, _kind: data[split][1],
        precision="float32",
    )


def values(findings):
    return {score.metric: score.value for score in findings.scores}


@pytest.fixture(scope="module")
def oracle(data):
    return detection.evaluate(representation(data), seed=0, **SETTINGS)


def test_an_oracle_scores_one(oracle, data):
    """The detector has to learn to read the answers off the maps, which no few steps do to the last pixel: AP50 shows
    that it does, and the boxes themselves, by the same way from detections to scores, have AP 1."""
    assert values(oracle)["ap50"] >= 0.95
    truth = data["test"][1].copy()
    given = representation(data)
    perfect = detection.findings(np.hstack([truth[:, :6], truth[:, 6:] + 0.9]), truth, data["test"][0], given, seed=0)
    assert values(perfect) == pytest.approx({"ap": 1, "ap50": 1, "ap75": 1})
    assert min(score.low for score in perfect.scores) == pytest.approx(1)


def test_a_constant_scores_chance(data):
    assert values(detection.evaluate(representation(data, lambda: Answers(True)), seed=0, **SETTINGS))["ap"] < 0.05


def test_shuffled_truth_scores_chance(data):
    images, boxes = data["train"]
    order = np.random.default_rng(0).permutation(TRAIN)
    shuffled = np.hstack([boxes[:, :1], boxes[order, 1:]])
    given = representation({**data, "train": (images, shuffled)})
    assert values(detection.evaluate(given, seed=0, **SETTINGS))["ap"] < 0.05


def test_same_seed_same_numbers(data):
    few = {"train": (data["train"][0][:16], data["train"][1][:16]), "test": data["test"]}
    first, again = (detection.evaluate(representation(few), seed=3, **QUICK) for _ in range(2))
    assert first.scores == again.scores
    assert (first.pictures["detections"] == again.pictures["detections"]).all()


def test_the_order_of_samples_does_not_matter(data, oracle):
    """Of the boxes not at all; of the test images only to the pictures; of training images, to the batches."""
    (images, boxes), (test_images, test_boxes) = data["train"], data["test"]
    rows, test_rows, lines = (np.random.default_rng(2).permutation(many) for many in (TRAIN, TEST, TRAIN))
    moved, test_moved = boxes[rows], test_boxes[test_rows]
    moved[:, 0], test_moved[:, 0] = np.arange(TRAIN), np.arange(TEST)
    given = {"train": (images[rows], moved[lines]), "test": (test_images[test_rows], test_moved)}
    found = detection.evaluate(representation(given), seed=0, **SETTINGS)
    assert values(found)["ap50"] == pytest.approx(values(oracle)["ap50"], abs=0.05)


def test_the_order_of_detections_and_boxes_does_not_matter(data):
    images, truth = data["test"]
    draws = np.random.default_rng(0)
    found = np.hstack([truth[:, :6] + np.pad(draws.normal(size=(TEST, 4)), ((0, 0), (2, 0))), draws.random((TEST, 1))])
    rows, lines = (draws.permutation(TEST) for _ in range(2))
    given = representation(data)
    expected = detection.findings(found, truth, images, given, seed=0).scores
    assert detection.findings(found[rows], truth[lines], images, given, seed=0).scores == expected


def test_scores_pictures_and_curves(oracle):
    assert [(score.layer, score.metric) for score in oracle.scores] == [("", "ap"), ("", "ap50"), ("", "ap75")]
    assert all(0 <= score.low <= score.value <= score.high <= 1 for score in oracle.scores)
    picture = oracle.pictures["detections"]
    assert picture.dtype == np.uint8
    assert picture.shape == (562, 1064, 3)
    assert (picture == detection.THERE).all(2).any()
    assert (picture == detection.FOUND).all(2).any()
    curve = oracle.curves["precision-recall at IoU .5"]
    assert len(curve["recall"]) == len(curve["precision"]) == 101
    assert np.mean(curve["precision"]) == pytest.approx(values(oracle)["ap50"])


def test_a_frozen_encoder_stays_as_it_was_and_another_learns_but_for_its_batch_statistics(data):
    for frozen in (True, False):
        made = []

        def encoder(made=made):
            torch.manual_seed(0)
            made.append(build_encoder("resnet", depth=10, width=4))
            return made[-1]

        few = {split: (images[:4], boxes[:4]) for split, (images, boxes) in data.items()}
        detection.evaluate(representation(few, encoder), seed=0, frozen=frozen, **{**QUICK, "epochs": 1})
        after, before = made[0].state_dict(), encoder().state_dict()
        same = {name for name in before if torch.equal(before[name], after[name])}
        assert {name for name in before if "running" in name} <= same
        assert ("conv1.0.weight" in same) is frozen


def test_the_boxes_are_flipped_with_the_picture(data):
    images, boxes = data["train"]
    method = Detector(Answers(), images.shape[1:], boxes, CLASSES, frozen=True, precision="float32")
    for sample, flip in ((0, False), (0, True), (5, True)):
        target = method._target(torch.tensor(sample), torch.tensor(flip))
        left, top, right, bottom = target["boxes"][0].int().tolist()
        shown = torch.from_numpy(images[sample, 0])
        rows, columns = (shown.flip(1) if flip else shown).nonzero(as_tuple=True)
        assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)
        assert target["labels"].tolist() == [int(boxes[sample, 1]) + 1]


def test_missing_truth_is_told(data):
    def none(split, kind):
        raise NeedsTruth(f"the {split} split has no {kind}")

    with pytest.raises(NeedsTruth, match="the train split has no boxes"):
        detection.evaluate(replace(representation(data), truth=none), seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs is 0; it must be at least 1"),
        ({"batch_size": 1}, "batch_size is 1; it must be at least 2"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 must be over 0"),
        ({"learning_rate": float("nan")}, "learning_rate nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be at least 0"),
    ],
)
def test_bad_settings_are_refused(data, settings, message):
    with pytest.raises(ValueError, match=message):
        detection.refuse(**settings)
    with pytest.raises(ValueError, match=message):
        detection.evaluate(representation(data), seed=0, **settings)


@pytest.mark.parametrize("wrong", [(0, -1), (0, TRAIN), (1, CLASSES), (2, -3), (4, SIDE + 1), (4, 0), (5, np.nan)])
def test_boxes_that_cannot_be_are_refused(data, wrong):
    column, value = wrong
    boxes = data["train"][1].copy()
    boxes[7, column] = value
    with pytest.raises(ValueError, match="train box"):
        detection.evaluate(representation({**data, "train": (data["train"][0], boxes)}), seed=0)
