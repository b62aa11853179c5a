"""AP by hand, against COCOeval itself, and what difficult boxes do."""

from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

from ssl_models.protocols._detection import box_precision
from ssl_models.protocols._detection.box_precision import METRICS, box_scores, match, mean_precision

SAMPLES, CLASSES = 30, 3


def some_boxes(many, seed, samples=SAMPLES):
    """(many, 6): sample, class, left, top, right, bottom."""
    draws = np.random.default_rng(seed)
    corner, extent = draws.uniform(0, 40, (many, 2)), draws.uniform(8, 24, (many, 2))
    return np.hstack([draws.integers((samples, CLASSES), size=(many, 2)), corner, corner + extent])


def with_last(boxes, last):
    return np.hstack([boxes, np.broadcast_to(np.reshape(last, (-1, 1)), (len(boxes), 1))])


def values(detections, truth, samples=SAMPLES, classes=CLASSES):
    matches = match(detections, truth, samples, classes)
    return [mean_precision(matches, np.ones(samples, int), thresholds) for thresholds in METRICS.values()]


@pytest.fixture(scope="module")
def noisy():
    """Truth, some of it difficult, and detections that miss it by more and more, or altogether."""
    truth = with_last(some_boxes(80, 0), np.arange(80) % 10 == 0)
    draws = np.random.default_rng(1)
    shifted = [truth[:, :6] + np.pad(draws.normal(size=(80, 4)) * k, ((0, 0), (2, 0))) for k in (0.5, 1.5, 3)]
    found = np.vstack([*shifted, some_boxes(200, 2)])
    return with_last(found, draws.random(len(found))), truth


def test_perfect_boxes_score_one():
    boxes = some_boxes(60, 0)
    assert values(with_last(boxes, 0.9), with_last(boxes, 0)) == pytest.approx([1, 1, 1])
    for score in box_scores(match(with_last(boxes, 0.9), with_last(boxes, 0), SAMPLES, CLASSES), seed=0, resamples=20):
        assert (score.layer, score.low, score.high) == ("", pytest.approx(1), pytest.approx(1))


def test_no_detections_score_zero():
    assert values(np.zeros((0, 7)), with_last(some_boxes(60, 0), 0)) == [0, 0, 0]


def test_two_images_by_hand():
    truth = np.array([[0, 0, 0, 0, 10, 10, 0], [1, 0, 0, 0, 10, 10, 0], [1, 0, 20, 20, 30, 30, 0]], float)
    detections = np.array(
        [
            [0, 0, 0, 0, 10, 10, 0.9],  # a hit
            [0, 0, 40, 40, 50, 50, 0.8],  # nothing there
            [1, 0, 0, 0, 10, 8, 0.7],  # a hit, IoU .8
            [1, 0, 0, 0, 10, 10, 0.6],  # a second answer for a box that is taken
            [1, 1, 20, 20, 30, 30, 0.95],  # the wrong class, of which there are no boxes: not counted in any class
        ]
    )
    # Precision 1, 1/2, 2/3, 2/4 at recall 1/3, 1/3, 2/3, 2/3: the 34 recalls up to .33 have 1, 33 up to .66 have 2/3.
    ap50 = (34 + 33 * 2 / 3) / 101
    # From IoU .85 on the third misses and the fourth hits: 1, 1/2, 1/3, 2/4.
    strict = (34 + 33 / 2) / 101
    assert values(detections, truth, 2, 2) == pytest.approx([(7 * ap50 + 3 * strict) / 10, ap50, ap50])


def test_boxes_that_overlap_by_three_fifths_count_at_three_of_ten_thresholds():
    boxes = some_boxes(60, 0)
    boxes = boxes[np.unique(boxes[:, :2], axis=0, return_index=True)[1]]  # one of a class in an image
    shifted = boxes.copy()
    shifted[:, [2, 4]] += 0.24 * (boxes[:, 4] - boxes[:, 2])[:, None]  # IoU .76 / 1.24 = .61
    assert values(with_last(shifted, 0.9), with_last(boxes, 0)) == pytest.approx([0.3, 1, 0])


def test_a_difficult_box_counts_neither_way_however_often_it_is_found():
    easy = with_last(some_boxes(1, 0), 0)
    hard = with_last(np.array([[0, 0, 100, 100, 120, 120]]), 1)
    found = with_last(np.vstack([easy[:, :6], hard[:, :6], hard[:, :6] + [0, 0, 0.1, 0, 0.1, 0]]), [0.5, 0.9, 0.8])
    easy[:, :2] = found[:1, :2] = 0
    truth = np.vstack([easy, hard])
    assert values(found, truth) == pytest.approx([1, 1, 1])
    assert values(found[:1], truth) == pytest.approx([1, 1, 1])
    truth[1, 6] = 0
    assert values(found, truth)[1] < 1


def test_a_small_part_of_a_difficult_box_is_no_answer_to_it():
    """To COCO's crowds it would be: there the overlap is the share of the detection."""
    truth = np.array([[0, 0, 0, 0, 100, 100, 1], [0, 0, 200, 200, 220, 220, 0]], float)
    found = np.array([[0, 0, 0, 0, 10, 10, 0.9], [0, 0, 200, 200, 220, 220, 0.8]])
    assert values(found, truth)[1] == pytest.approx(0.5)


def cocoeval(detections, truth, rows):
    """AP, AP50 and AP75 by COCOeval.accumulate, of resampled images."""
    with redirect_stdout(StringIO()):
        evaluation = box_precision._evaluation(detections, truth, SAMPLES, CLASSES)
        evaluation.evaluate()
        evaluation.evalImgs = [evaluation.evalImgs[k * SAMPLES + row] for k in range(CLASSES) for row in rows]
        evaluation.accumulate()
    precision = evaluation.eval["precision"]
    return [precision[thresholds].mean() for thresholds in METRICS.values()]


def test_equals_cocoeval_on_all_images_and_on_any_resample(noisy):
    matches = match(*noisy, SAMPLES, CLASSES)
    for rows in (np.arange(SAMPLES), *np.random.default_rng(0).integers(SAMPLES, size=(3, SAMPLES))):
        counts = np.bincount(rows, minlength=SAMPLES)
        found = [mean_precision(matches, counts, thresholds) for thresholds in METRICS.values()]
        assert found == pytest.approx(cocoeval(*noisy, rows), abs=1e-12)
        assert 0.05 < found[0] < found[1] < 0.95


def test_intervals_hold_the_value_and_shrink_with_more_images(noisy):
    detections, truth = noisy
    few = box_scores(match(detections, truth, SAMPLES, CLASSES), seed=0, resamples=100)
    copies = [np.vstack([table + SAMPLES * k * np.eye(7)[0] for k in range(9)]) for table in (detections, truth)]
    many = box_scores(match(*copies, 9 * SAMPLES, CLASSES), seed=0, resamples=100)
    assert [score.metric for score in few] == ["ap", "ap50", "ap75"]
    for one, nine in zip(few, many, strict=True):
        assert one.low < one.value < one.high
        assert nine.value == pytest.approx(one.value)
        assert nine.high - nine.low == pytest.approx((one.high - one.low) / 3, rel=0.5)
    assert few == box_scores(match(detections, truth, SAMPLES, CLASSES), seed=0, resamples=100)


def test_nothing_is_printed(noisy, capsys):
    match(*noisy, SAMPLES, CLASSES)
    assert capsys.readouterr().out == ""


def test_the_curve_has_a_precision_a_recall_and_falls(noisy):
    curve = box_precision.precision_curve(match(*noisy, SAMPLES, CLASSES))
    assert curve.shape == box_precision.RECALLS.shape
    assert (np.diff(curve) <= 1e-12).all()
    assert curve.mean() == pytest.approx(values(*noisy)[1])


def test_test_images_without_a_box_to_find_are_refused():
    truth = with_last(some_boxes(5, 0), 1)
    with pytest.raises(ValueError, match="no box that is not difficult"):
        box_scores(match(truth, truth, SAMPLES, CLASSES), seed=0)
