"""One linear SVM a class on frozen features, in mean average precision: VOC07 classification (Goyal et al. 2019,
arXiv:1905.01235, section 6.1; Owens et al. 2016, arXiv:1608.07017).

Legend: N samples, D features, K classes, F folds, J = F K' problems that are solved together for K' classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy import ndarray

from ssl_models.directions import Directions
from ssl_models.errors import NeedsSamples, NeedsTruth
from ssl_models.protocols._common.checks import checked_labels, checked_layers, refuse_other_than_pictures
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.layer_directions import directions
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._voc_map import average_precision as ap
from ssl_models.protocols._voc_map import svm

NEEDS = ("features", "labels")
TITLE = "VOC SVM"
READING = (
    "One linear SVM a class on frozen features: the mean over classes of the area under precision and recall. A "
    "representation that knows nothing scores the share of images that show the class."
)
HEADLINE = "map"
UNITS = {"map": "share", "classes": "number"}
CURVES = "Precision against recall of each class, at each run's best layer; N_cf dashed."
COSTS = [0.01, 0.1, 1.0, 10.0, 100.0]
ROWS = 4096
TOGETHER = 16
"""Classes that are fitted together. More would only take more memory."""
ROUGH, EXACT = 1e-4, 1e-6
"""Tolerances of `svm.fit`: of a fit that only ranks costs, and of one that is reported."""
DRAWN, POINTS = 20, 100
"""The most classes whose precision-recall curves are kept, and the most points of a curve."""


def evaluate(
    representation: Representation,
    *,
    seed: int,
    layers: str | list[str] = "all",
    costs: list[float] = COSTS,
    folds: int = 3,
    form: str = "area",
    positive_weight: float = 2.0,
) -> Findings:
    """Mean average precision over the classes for each of `layers`, with the 95 % bootstrap interval over test images.

    The "present" truth says which classes an image shows; -1 leaves an image out. Without it an image shows its label.
    Each class has the cost with the best area under precision and recall over `folds` stratified folds of the training
    samples, drawn with `seed`; of equal costs the lowest. Then it is fitted with this cost on all training samples.
    Classes without a positive sample in one of the splits are left out of the mean. `classes` counts the classes in the
    mean, and the curve `left_out` names the others.

    The SVMs are scikit-learn's LinearSVC(C=cost, class_weight={1: positive_weight}) on features of unit length: squared
    hinge loss, and the bias decays like the weights. The paper's code weighs positives 2 and tries the costs .01, .1
    and 2^-19 to 2^-4. Features of small encoders need higher costs. form: see average_precision.py; the paper's code
    has "voc10".

    8,192 x 512 features, 12 classes and 6 layers take some 15 s on one thread. Training features are held in memory:
    4 N (D + 8 F min(K, 16)) bytes, 4 GiB for a million samples of 512 features and 12 classes.
    Raises NeedsLabels (from the representation), NeedsParts for samples that are no pictures, NeedsSamples where no
    class is in both splits, ValueError for settings or features out of range.
    """
    names = list(representation.layers) if layers == "all" else checked_layers(layers, representation.layers)
    chosen = _Choice(_checked_costs(costs), folds, positive_weight, seed)
    ap.refuse_form(form)
    refuse_other_than_pictures(representation, "voc_map")
    present = _present(representation)
    positives = {split: (table > 0).sum(0) for split, table in present.items()}  # (K,)
    measured = np.flatnonzero(np.minimum(positives["train"], positives["test"]))
    if len(measured) == 0:
        raise NeedsSamples("no class is shown in both the training and the test samples, so none can be measured")
    scores, rankings = [], {}
    for layer in names:
        answers = _answers(representation, layer, present, measured, chosen)
        rankings[layer] = [ap.rank(row, present["test"][:, k]) for row, k in zip(answers, measured, strict=True)]
        scores.append(_score(layer, rankings[layer], len(present["test"]), form, seed))
    best = max(scores, key=lambda score: score.value).layer
    count = float(len(measured))
    return Findings(
        [*scores, Score("", "classes", count, count, count)],
        curves=_curves(representation, rankings[best], measured, positives),
    )


@dataclass(frozen=True)
class _Choice:
    """The settings of the fits; costs from low to high."""

    costs: list[float]
    folds: int
    positive_weight: float
    seed: int

    def __post_init__(self) -> None:
        if self.folds < 2:
            raise ValueError(f"folds = {self.folds} must be at least 2")
        if not isfinite(self.positive_weight) or self.positive_weight <= 0:
            raise ValueError(f"positive_weight = {self.positive_weight} must be finite and above 0")


def _answers(
    representation: Representation, layer: str, present: dict[str, ndarray], measured: ndarray, chosen: _Choice
) -> ndarray:
    """(K', N): the scores of the test samples under the SVM of each measured class."""
    train, test = (directions(representation, split, layer, len(table)) for split, table in present.items())
    rows, gram, turn = _turned(train)
    groups = [measured[start : start + TOGETHER] for start in range(0, len(measured), TOGETHER)]
    found = np.concatenate([_fit_best(rows, gram, present["train"][:, group].T, group, chosen) for group in groups])
    weights = found @ turn.T  # (K', D + 1), of the features as they are
    scores = np.concatenate([block @ weights[:, :-1].T + weights[:, -1] for _, block in test.blocks(ROWS)]).T
    # Equal samples may get scores that differ in the last digit. Rounding makes them equal.
    unit = np.maximum(np.abs(scores).max(1, keepdims=True), np.finfo(np.float32).tiny) * np.float32(1e-5)
    return np.round(scores / unit)


def _fit_best(rows: ndarray, gram: ndarray, present: ndarray, classes: ndarray, chosen: _Choice) -> ndarray:
    """(K', D): weights for classes (K',) with present (K', N), each at its best cost."""
    folds = chosen.folds
    parts = np.stack([_parts(row, folds, [chosen.seed, int(k)]) for row, k in zip(present, classes, strict=True)])
    weights = np.where(present > 0, chosen.positive_weight, present == 0).astype(np.float32)  # (K', N); ignored: 0
    targets = np.where(present > 0, 1, -1).astype(np.float32)
    split_weights = np.concatenate([np.where(parts == fold, 0, weights) for fold in range(folds)])  # (F K', N)
    split_targets = np.tile(targets, (folds, 1))
    trial = np.zeros((len(split_weights), rows.shape[1]), np.float32)
    trials, quality = [], []
    for cost in chosen.costs:  # from low to high, so that each fit starts where the last one ended
        heavy = np.float32(cost) * split_weights
        trial = svm.fit(rows, split_targets, heavy, gram=gram, start=trial, tolerance=ROUGH)
        trials.append(trial.reshape(folds, len(present), -1))
        quality.append(_quality((trial @ rows.T).reshape(folds, len(present), -1), present, parts))
    best = np.argmax(quality, 0)  # (K',)
    start = np.stack([trials[cost][:, k].mean(0) for k, cost in enumerate(best)])
    heavy = np.array(chosen.costs, np.float32)[best][:, None] * weights
    return svm.fit(rows, targets, heavy, gram=gram, start=start, tolerance=EXACT)


def _quality(scores: ndarray, present: ndarray, parts: ndarray) -> list[float]:
    """(K',): the mean over folds of the average precision on a held-out fold. scores: (F, K', N), fold by fold.

    Folds without a positive inside or outside are left out; 0 where all are.
    """
    means = []
    for k, (row, part) in enumerate(zip(present, parts, strict=True)):
        held_out = [part == fold for fold in range(len(scores))]
        found = [
            ap.average_precision(scores[fold, k, inside], row[inside])
            for fold, inside in enumerate(held_out)
            if (row[inside] > 0).any() and (row[~inside] > 0).any()
        ]
        means.append(float(np.mean(found)) if found else 0.0)
    return means


def _parts(present: ndarray, folds: int, seed: list[int]) -> ndarray:
    """(N,): the fold in which each sample is held out. Positives and negatives are spread evenly over the folds."""
    draws = np.random.default_rng(seed)
    parts = np.zeros(len(present), np.int8)
    for value in (0, 1):
        rows = draws.permutation(np.flatnonzero(present == value))
        parts[rows] = np.arange(len(rows)) % folds
    return parts


def _turned(train: Directions) -> tuple[ndarray, ndarray, ndarray]:
    """The training samples (N, D + 1) with a 1 for the bias, rotated so that their gram matrix is diagonal.

    Also the diagonal (D + 1,) and the rotation (D + 1, D + 1).
    """
    size = train.stored.shape[1] + 1
    gram = np.zeros((size, size))
    for _, block in train.blocks(ROWS):
        extended = _with_one(block)
        gram += extended.T @ extended
    values, turn = np.linalg.eigh(gram)
    turn = turn.astype(np.float32)
    rows = np.empty((len(train), size), np.float32)
    for begin, block in train.blocks(ROWS):
        rows[begin : begin + len(block)] = _with_one(block) @ turn
    return rows, np.maximum(values, 0), turn


def _with_one(block: ndarray) -> ndarray:
    return np.hstack([block, np.ones((len(block), 1), np.float32)])


def _score(layer: str, rankings: list[ap.Ranking], samples: int, form: str, seed: int) -> Score:
    """The mean over classes, with its bootstrap interval over test images; fewer resamples for many samples."""

    def mean(units: ndarray) -> float:
        return ap.mean_average_precision(rankings, np.bincount(units, minlength=samples), form=form)

    resamples = int(np.clip(3e7 // (samples * len(rankings)), 100, 1000))
    low, high = bootstrap(mean, samples, seed=seed, resamples=resamples)
    return Score(layer, "map", mean(np.arange(samples)), low, high)


def _curves(
    representation: Representation, rankings: list[ap.Ranking], measured: ndarray, positives: dict[str, ndarray]
) -> dict[str, dict[str, list[float]]]:
    """Precision and recall of the first classes, and the positives of the classes that are not measured."""
    curves = {}
    for ranking, k in list(zip(rankings, measured, strict=True))[:DRAWN]:
        recall, precision = ap.thinned(*ap.curve(ranking), POINTS)
        name = representation.class_names[k] if representation.class_names else f"class {k}"
        curves[name] = {"recall": recall.tolist(), "precision": precision.tolist()}
    absent = np.setdiff1d(np.arange(len(positives["train"])), measured)
    if len(absent):
        columns = {"class": absent} | {f"{split}_positives": counts[absent] for split, counts in positives.items()}
        curves["left_out"] = {name: values.astype(float).tolist() for name, values in columns.items()}
    return curves


def _present(representation: Representation) -> dict[str, ndarray]:
    """(N, K) int8 for each split: 1 shown, 0 not, -1 ignored."""
    try:
        return {split: np.asarray(representation.truth(split, "present")) for split in ("train", "test")}
    except NeedsTruth:
        labels = {split: checked_labels(representation, split) for split in ("train", "test")}
        known = np.arange(representation.classes)
        return {split: (own[:, None] == known).astype(np.int8) for split, own in labels.items()}


def _checked_costs(costs: list[float]) -> list[float]:
    """From low to high."""
    if not isinstance(costs, list | tuple) or not costs:
        raise ValueError(f"costs = {costs!r} must be a list of at least one number, such as [1.0]")
    if not all(isinstance(cost, int | float) and isfinite(cost) and cost > 0 for cost in costs):
        raise ValueError(f"costs = {costs!r} must be finite numbers above 0")
    return sorted({float(cost) for cost in costs})
