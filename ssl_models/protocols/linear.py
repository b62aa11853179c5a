"""A linear classifier on frozen features, layer by layer (Zhang et al. 2016, arXiv:1603.08511; Goyal et al. 2019).

Legend: N samples, D features, K classes.
"""

from __future__ import annotations

from math import isfinite

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from ssl_models.errors import NeedsSamples
from ssl_models.protocols._common.checks import checked_labels
from ssl_models.protocols._common.intervals import accuracies
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._linear import regression, sgd
from ssl_models.protocols._linear.regression import Fit, Problem
from ssl_models.protocols._linear.standardised import Standardised, standardised

NEEDS = ("features", "labels")
TITLE = "linear"
READING = (
    "A linear classifier is trained on the frozen features of one layer; its test accuracy says how plainly the "
    "classes lie in that layer. Later layers hold more of what the pretext task asked for."
)
HEADLINE = "top1"
UNITS = {"top1": "share", "top5": "share"}
LEADS = True
WEIGHT_DECAYS = [0.001, 0.01, 0.1]
SOLVERS = ("lbfgs", "sgd")
EXACT, ROUGH = 5e-6, 1e-3
"""Tolerances, in nats: of a fit that is reported, and of one that only ranks weight decays.

A step that lowers the loss by less is the last. Against a fit to 1e-7 EXACT changes top-1 by .07 points (root mean
square of 60 layers of the world's runs, 2,048 test samples) and by .20 at most.
"""


def evaluate(
    representation: Representation,
    *,
    seed: int,
    weight_decays: list[float] = WEIGHT_DECAYS,
    iterations: int = 100,
    solver: str = "lbfgs",
) -> Findings:
    """Multinomial logistic regression on each layer: top-1 and top-5 over the test samples, with 95 % intervals.

    Features are standardised by the training mean and deviation, so that one weight decay means the same at any width
    and scale of a layer. Of several weight decays the one with the lowest cross-entropy on a held-out tenth of the
    training samples, drawn with `seed`, is fitted again on all training samples. Test samples have no part in it.

    weight_decays: of `mean cross-entropy + weight_decay / 2 * ||weights||^2`. The bias does not decay. scikit-learn's C
    is 1 / (N * weight_decay). solver: "lbfgs" holds the features of a layer in memory, 4 N D bytes. "sgd" reads them in
    blocks and ends near the same minimum. iterations: the most steps of a fit by L-BFGS, or the epochs of SGD. After
    20 epochs the top-1 of a layer of many features was 0.8 points below that of L-BFGS.
    Raises NeedsLabels (from the representation), NeedsSamples for a single training sample, ValueError for settings or
    features out of range.
    """
    decays = _checked_decays(weight_decays)
    if iterations < 1:
        raise ValueError(f"iterations = {iterations} must be at least 1")
    if solver not in SOLVERS:
        raise ValueError(f"solver = {solver!r} is unknown; choose one of {', '.join(SOLVERS)}")
    classes = representation.classes
    labels = torch.from_numpy(checked_labels(representation, "train"))
    test_labels = checked_labels(representation, "test")
    held_out = _hold_out(len(labels), seed) if len(decays) > 1 else None
    scores: list[Score] = []
    for layer in representation.layers:
        train = standardised(representation, layer, len(labels))
        if solver == "sgd":
            solution = _fit_best_by_sgd(train, labels, classes, decays, iterations, held_out, seed)
        else:
            solution = _fit_best(Problem.of(train.all(), labels, classes), decays, iterations, held_out)
        test = Standardised(representation.features("test", layer), train.mean, train.deviation)
        scores += accuracies(layer, _logits(test, solution), test_labels)
    return Findings(scores)


def fit(
    features: Tensor,
    labels: Tensor,
    classes: int,
    *,
    weight_decay: float,
    iterations: int = 100,
    tolerance: float = EXACT,
) -> tuple[Tensor, Tensor]:
    """The minimiser of `mean cross-entropy + weight_decay / 2 * ||weights||^2`: weights (K, D) and bias (K,).

    features: (N, D) float32, standardised. labels: (N,) int64. See `lbfgs.minimise` for iterations and tolerance.
    """
    problem = Problem.of(features, labels, classes)
    found = regression.minimise(
        problem,
        Fit.zero(problem),
        row_weights=torch.ones(len(labels)),
        weight_decay=weight_decay,
        iterations=iterations,
        tolerance=tolerance,
    )
    solution = found.solution.float()
    return solution[:, :-1], solution[:, -1]


def _fit_best(problem: Problem, decays: list[float], iterations: int, held_out: Tensor | None) -> Tensor:
    """(K, D + 1): fits each weight decay without the held-out samples (N,) bool, then the best of them on all samples.

    Trials go from the strongest weight decay to the weakest. Each starts from the solution and the curvature pairs of
    the one before, and the last fit from those of the best trial.
    """

    def minimise(start: Fit, decay: float, kept: Tensor, tolerance: float) -> Fit:
        return regression.minimise(
            problem, start, row_weights=kept, weight_decay=decay, iterations=iterations, tolerance=tolerance
        )

    found, everything = Fit.zero(problem), torch.ones(len(problem.labels))
    if held_out is None:
        return minimise(found, decays[0], everything, EXACT).solution.float()
    trials = []
    for decay in decays:
        found = minimise(found, decay, (~held_out).float(), ROUGH)
        weights = found.solution.float()
        logits = functional.linear(problem.features[held_out], weights[:, :-1], weights[:, -1])
        trials.append((float(functional.cross_entropy(logits, problem.labels[held_out])), decay, found))
    _, decay, found = min(trials, key=lambda trial: trial[0])
    return minimise(found, decay, everything, EXACT).solution.float()


def _fit_best_by_sgd(
    train: Standardised,
    labels: Tensor,
    classes: int,
    decays: list[float],
    epochs: int,
    held_out: Tensor | None,
    seed: int,
) -> Tensor:
    """(K, D + 1): as `_fit_best`, with features read in blocks. A trial takes a quarter of the epochs."""
    size = train.stored.shape[1]
    gram = torch.zeros(size, size, dtype=torch.float64)
    for _, block in train.blocks():
        gram += (block.T @ block).double() / len(train)

    def descend(decay: float, kept: Tensor, epochs: int) -> Tensor:
        factor = regression.factor(gram, classes, decay)
        to_weights = torch.linalg.solve_triangular(factor, torch.eye(size + 1, dtype=torch.float64), upper=False)
        return sgd.minimise(
            train,
            labels,
            kept,
            classes=classes,
            weight_decay=decay,
            to_weights=to_weights,
            epochs=epochs,
            seed=seed,
        )

    everything = torch.ones(len(labels), dtype=torch.bool)
    if held_out is None:
        return descend(decays[0], everything, epochs)
    trials = []
    for decay in decays:
        solution = descend(decay, ~held_out, max(1, epochs // 4))
        logits = torch.from_numpy(_logits(train, solution))
        trials.append((float(functional.cross_entropy(logits[held_out], labels[held_out])), decay))
    return descend(min(trials)[1], everything, epochs)


def _logits(features: Standardised, solution: Tensor) -> ndarray:
    """(N, K), computed in blocks of rows."""
    found = [functional.linear(block, solution[:, :-1], solution[:, -1]) for _, block in features.blocks()]
    return np.asarray(torch.cat(found).numpy()) if found else np.zeros((0, len(solution)), np.float32)


def _hold_out(samples: int, seed: int) -> Tensor:
    """(N,) bool: a random tenth, at least one sample."""
    if samples < 2:
        raise NeedsSamples(f"{samples} training sample: at least 2 are needed to choose a weight decay")
    chosen = np.random.default_rng(seed).permutation(samples)[: max(1, samples // 10)]
    held_out = torch.zeros(samples, dtype=torch.bool)
    held_out[torch.from_numpy(chosen)] = True
    return held_out


def _checked_decays(weight_decays: list[float]) -> list[float]:
    """Sorted from strong to weak."""
    if not isinstance(weight_decays, list | tuple) or not weight_decays:
        raise ValueError(f"weight_decays = {weight_decays!r} must be a list of at least one number, such as [0.01]")
    if not all(isinstance(decay, int | float) and isfinite(decay) and decay > 0 for decay in weight_decays):
        raise ValueError(f"weight_decays = {weight_decays!r} must be finite numbers above 0")
    return sorted({float(decay) for decay in weight_decays}, reverse=True)
