"""Average precision of detected boxes by COCO's definition (Lin et al. 2014, arXiv:1405.0312), matched by pycocotools.

AP is the mean over IoU thresholds .50, .55 .. .95; AP50 and AP75 are at .50 and .75. Each is the mean over the classes
that have boxes, and over recalls 0, .01 .. 1, of the precision: the best at that recall or a higher one.

Arrays, lengths in pixels: truth (M, 7) as in datasets/split.py: sample, class, left, top, right, bottom, difficult;
detections (D, 7): sample, class, left, top, right, bottom, score. Legend: N samples, T thresholds, R recalls.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.errors import NeedsTruth
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.score import Score

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
METRICS = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
DETECTIONS = 100
"""The most detections of a class in a picture that count, those of the highest scores."""
RESAMPLES = 300
"""Fewer than elsewhere: with 20,000 detections of 12 classes a resample takes about 6 ms for each metric."""


@dataclass(frozen=True)
class Matches:
    """One class's detections in descending order of score, and the number of boxes in each sample.

    sample: (D,) the sample of each detection. hits, misses: (D, T) bool; neither for one that found a difficult box.
    boxes: (N,), without difficult ones.
    """

    sample: ndarray
    hits: ndarray
    misses: ndarray
    boxes: ndarray


def box_scores(matches: Sequence[Matches], *, seed: int, resamples: int = RESAMPLES) -> list[Score]:
    """AP, AP50 and AP75, each with its bootstrap interval over test images. Boxes are matched once.

    A test image that is drawn c times counts c times. Raises NeedsTruth where all boxes are difficult.
    """
    samples = len(matches[0].boxes) if matches else 0
    if not any(found.boxes.any() for found in matches):
        raise NeedsTruth("the test images have no box that is not difficult: there is nothing to find")
    scores = []
    for metric, thresholds in METRICS.items():
        whole = mean_precision(matches, np.ones(samples, np.int64), thresholds)

        def resampled(rows: ndarray, thresholds: slice = thresholds) -> float:
            return mean_precision(matches, np.bincount(rows, minlength=samples), thresholds)

        scores.append(Score("", metric, whole, *bootstrap(resampled, samples, seed=seed, resamples=resamples)))
    return scores


def mean_precision(matches: Sequence[Matches], counts: ndarray, thresholds: slice = METRICS["ap"]) -> float:
    """The mean over thresholds and classes with boxes; sample n counts counts[n] times. NaN without a box."""
    curves = [precision_at_recalls(found, counts, thresholds) for found in matches]
    known = [float(curve.mean()) for curve in curves if curve is not None]
    return float(np.mean(known)) if known else float("nan")


def precision_at_recalls(found: Matches, counts: ndarray, thresholds: slice = METRICS["ap"]) -> ndarray | None:
    """(T, R): the best precision at each of RECALLS or a higher one, 0 for a recall not reached; None without a box.

    It equals COCOeval.accumulate on data in which sample n occurs counts[n] times.
    """
    boxes = int(counts @ found.boxes)
    if boxes == 0:
        return None
    weights = counts[found.sample]
    hits = (found.hits[:, thresholds].T * weights).cumsum(1)  # (T, D)
    misses = (found.misses[:, thresholds].T * weights).cumsum(1)
    precision = hits / (hits + misses + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(best), 1))], 1)  # recalls that are never reached
    first = [np.searchsorted(row, RECALLS) for row in hits / boxes]
    return np.take_along_axis(best, np.stack(first), 1)


def precision_curve(matches: Sequence[Matches]) -> ndarray:
    """(R,): precision at each of RECALLS at an IoU of .50, the mean over the classes with boxes."""
    curves = (precision_at_recalls(found, np.ones(len(found.boxes), np.int64), METRICS["ap50"]) for found in matches)
    return np.asarray(np.mean([curve[0] for curve in curves if curve is not None], axis=0))


def match(detections: ndarray, truth: ndarray, samples: int, classes: int) -> list[Matches]:
    """COCO's matching: in each image each detection, in order of score, takes the free box that it overlaps most.

    A detection that overlaps only a difficult box counts neither as a hit nor as a miss.
    """
    with redirect_stdout(StringIO()):
        evaluation = _evaluation(detections, truth, samples, classes)
        evaluation.evaluate()
    found = evaluation.evalImgs
    return [_joined(found[label * samples : (label + 1) * samples]) for label in range(classes)]


def _joined(images: Sequence[dict[str, Any] | None]) -> Matches:
    """The matches of one class from COCOeval's entries, one for each image; None is an image without the class."""
    boxes = np.array([0 if image is None else int((image["gtIgnore"] == 0).sum()) for image in images], np.int64)
    present = [(number, image) for number, image in enumerate(images) if image is not None]
    if not present:
        nothing = np.zeros((0, len(THRESHOLDS)), bool)
        return Matches(np.zeros(0, np.int64), nothing, nothing, boxes)
    scores = np.concatenate([image["dtScores"] for _, image in present])
    order = np.argsort(-scores, kind="stable")
    sample = np.concatenate([np.full(len(image["dtScores"]), number) for number, image in present])
    matched = np.concatenate([image["dtMatches"] for _, image in present], 1).T > 0  # (D, T)
    ignored = np.concatenate([image["dtIgnore"] for _, image in present], 1).T > 0
    return Matches(sample[order], (matched & ~ignored)[order], (~matched & ~ignored)[order], boxes)


def _evaluation(detections: ndarray, truth: ndarray, samples: int, classes: int) -> Any:
    """A COCOeval over all samples and classes, for boxes of any area."""
    from pycocotools import mask
    from pycocotools.cocoeval import COCOeval

    class Evaluation(COCOeval):
        def computeIoU(self, image: int, category: int) -> Any:  # noqa: N802 - pycocotools' name
            """Difficult boxes are given as COCO's crowds, which are ignored and may be found by several detections.

            COCO's overlap with a crowd is a share of the detection. A difficult box is one object, so here it is the
            usual IoU.
            """
            truth, found = self._gts[image, category], self._dts[image, category]
            ranked = sorted(found, key=lambda detection: -detection["score"])[:DETECTIONS]
            boxes = ([entry["bbox"] for entry in entries] for entries in (ranked, truth))
            return mask.iou(*boxes, [0] * len(truth)) if truth or ranked else []

    evaluation = Evaluation(_coco(truth, samples, classes), _coco(detections, samples, classes), "bbox")
    evaluation.params.iouThrs, evaluation.params.maxDets = THRESHOLDS, [DETECTIONS]
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, np.inf]], ["all"]
    return evaluation


def _coco(boxes: ndarray, samples: int, classes: int) -> Any:
    """Either table as a COCO object. The last column is both score and iscrowd; each side reads one of them."""
    from pycocotools.coco import COCO

    entries = []
    for number, (sample, label, left, top, right, bottom, last) in enumerate(np.asarray(boxes, np.float64).tolist(), 1):
        entries.append(  # ids from 1, since COCOeval takes 0 for no match
            {
                "id": number,
                "image_id": int(sample),
                "category_id": int(label),
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "score": last,
                "iscrowd": int(last),
            }
        )
    images, categories = ([{"id": number} for number in range(many)] for many in (samples, classes))
    coco = COCO()
    coco.dataset = {"images": images, "categories": categories, "annotations": entries}
    coco.createIndex()
    return coco
