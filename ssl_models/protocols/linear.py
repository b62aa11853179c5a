"""A linear classifier on frozen features, layer by layer (Zhang et al. 2016, arXiv:1603.08511; Goyal et al. 2019).

Legend: N samples, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from ssl_models.protocols._common.checks import checked_labels
from ssl_models.protocols._common.intervals import accuracies
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._linear import sgd
from ssl_models.protocols._linear.standardised import Standardised, standardised

NEEDS = ("features", "labels")
TITLE = "linear"
READING = (
    "A linear classifier is trained on the frozen features of one layer; its test accuracy says how plainly the "
    "classes lie in that layer. Later layers hold more of what the pretext task asked for."
)
HEADLINE = "top1"
UNITS = {"top*": "share"}
LEADS = True
WEIGHT_DECAYS = [0.001, 0.01, 0.1]
SOLVERS = ("lbfgs", "sgd")
EXACT, ROUGH = 1e-7, 1e-4
"""At which relative fall of the loss in a step a fit ends: one that is reported, and one that only ranks decays."""


def evaluate(
    representation: Representation,
    *,
    seed: int,
    weight_decays: list[float] = WEIGHT_DECAYS,
    iterations: int = 100,
    solver: str = "lbfgs",
) -> Findings:
    """Multinomial logistic regression on each layer: top-1 and top-5 over the test samples, with 95 % intervals.

    Features are standardised by the training mean and deviation, so one weight decay means the same at any width or
    scale of a layer. Where several weight decays are given, the one with the lowest cross-entropy on a held-out tenth
    of the training samples (drawn with `seed`) is fitted again on all of them; the test samples have no part in it.

    weight_decays: of `mean cross-entropy + weight_decay / 2 * ||weights||^2`, the bias left free; scikit-learn's
    C is 1 / (N * weight_decay). solver: "lbfgs" holds a layer's features in memory, 4 N D bytes; "sgd" never does, and
    ends close by. iterations: at most so many steps of L-BFGS a fit, or epochs of SGD, of which some 20 are plenty.
    Raises NeedsLabels (from the representation), ValueError for settings or features out of range.
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
            solution = _fit_best(_problem(train.all(), labels, classes), decays, iterations, held_out)
        test = Standardised(representation.features("test", layer), train.mean, train.deviation)
        scores += accuracies(layer, _logits(test, solution), test_labels)
    return Findings(scores)


@dataclass(frozen=True)
class _Problem:
    """features: (N, D) float32, standardised. labels: (N,) int64. gram: X'X / N, (D, D) float64."""

    features: Tensor
    labels: Tensor
    classes: int
    gram: Tensor


def fit(
    features: Tensor, labels: Tensor, classes: int, *, weight_decay: float, iterations: int = 100
) -> tuple[Tensor, Tensor]:
    """The minimiser of `mean cross-entropy + weight_decay / 2 * ||weights||^2`: weights (K, D) and bias (K,).

    features: (N, D) float32, standardised. labels: (N,) int64.
    """
    problem, everything = _problem(features, labels, classes), torch.ones(len(labels))
    solution = _minimise(problem, everything, weight_decay, iterations, EXACT)
    return solution[:, :-1], solution[:, -1]


def _fit_best(problem: _Problem, decays: list[float], iterations: int, held_out: Tensor | None) -> Tensor:
    """(K, D + 1): fits each weight decay without the held-out rows (N,) bool, then the best of them with all rows.

    From the strongest down, so that each fit starts where the last one ended.
    """
    everything = torch.ones(len(problem.features))
    if held_out is None:
        return _minimise(problem, everything, decays[0], iterations, EXACT)
    solution, trials = None, []
    for decay in decays:
        solution = _minimise(problem, (~held_out).float(), decay, iterations, ROUGH, solution)
        logits = functional.linear(problem.features[held_out], solution[:, :-1], solution[:, -1])
        trials.append((float(functional.cross_entropy(logits, problem.labels[held_out])), decay, solution))
    _, decay, solution = min(trials, key=lambda trial: trial[0])
    return _minimise(problem, everything, decay, iterations, EXACT, solution)


def _fit_best_by_sgd(
    train: Standardised,
    labels: Tensor,
    classes: int,
    decays: list[float],
    epochs: int,
    held_out: Tensor | None,
    seed: int,
) -> Tensor:
    """(K, D + 1): as `_fit_best`, without ever holding the features; the trials take a quarter of the epochs each."""
    size = train.stored.shape[1]
    gram = torch.zeros(size, size, dtype=torch.float64)
    for _, block in train.blocks():
        gram += (block.T @ block).double() / len(train)

    def descend(decay: float, kept: Tensor, epochs: int) -> Tensor:
        to_weights = _inverse_factor(gram, classes, decay)
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


def _minimise(
    problem: _Problem,
    row_weights: Tensor,
    weight_decay: float,
    iterations: int,
    tolerance: float,
    start: Tensor | None = None,
) -> Tensor:
    """Weights and, as the last column, bias: (K, D + 1). row_weights (N,): a 0 leaves a row out without a copy.

    At zero weights the Hessian is (I - 11'/K) / K (x) X'X / N + weight_decay I. L-BFGS runs in the coordinates
    U = W L with LL' = X'X / (NK) + weight_decay I, where that is close to the identity: some 20 steps, not hundreds.
    The solver is SciPy's, since the first optimiser that torch makes in a process costs seconds of imports.
    """
    from scipy.optimize import fmin_l_bfgs_b

    classes, size = problem.classes, problem.features.shape[1]
    row_weights = row_weights / row_weights.sum()
    minus_one = torch.full((1, len(row_weights)), -1.0)
    to_weights = _inverse_factor(problem.gram, classes, weight_decay)  # (D + 1, D + 1)

    def loss_and_gradient(coordinates: ndarray) -> tuple[float, ndarray]:
        solution = torch.from_numpy(coordinates).view(classes, size + 1) @ to_weights
        decayed, weights = solution[:, :size], solution.float()
        # (K, N): classes first, since a softmax over neighbouring columns costs ten times one over rows.
        logs = torch.addmm(weights[:, size:], weights[:, :size], problem.features.T).log_softmax(0)
        loss = -float(logs.gather(0, problem.labels[None]) @ row_weights)
        slopes = logs.exp_().scatter_add_(0, problem.labels[None], minus_one) * row_weights
        gradient = torch.cat([slopes @ problem.features, slopes.sum(1, keepdim=True)], 1).double()  # (K, D + 1)
        gradient[:, :size] += weight_decay * decayed
        loss += weight_decay / 2 * float(decayed.square().sum())
        return loss, (gradient @ to_weights.T).flatten().numpy()

    begin = np.zeros(classes * (size + 1))
    if start is not None:
        begin = torch.linalg.solve(to_weights, start.double(), left=False).flatten().numpy()
    factr = tolerance / np.finfo(np.float64).eps
    end, _, _ = fmin_l_bfgs_b(loss_and_gradient, begin, m=20, maxiter=iterations, factr=factr, pgtol=1e-6)
    return (torch.from_numpy(end).view(classes, size + 1) @ to_weights).float()


def _problem(features: Tensor, labels: Tensor, classes: int) -> _Problem:
    return _Problem(features, labels, classes, (features.T @ features).double() / len(features))


def _inverse_factor(gram: Tensor, classes: int, weight_decay: float) -> Tensor:
    """The inverse of L in LL' = gram / K + weight_decay I, bordered by a 1 / K for the bias: (D + 1, D + 1)."""
    size = len(gram)
    # The product was made in float32: a thousandth of its mean eigenvalue covers the rounding.
    ridge = weight_decay + 1e-3 * float(gram.diagonal().mean()) / classes
    identity = torch.eye(size + 1, dtype=torch.float64)
    hessian = identity / classes
    hessian[:size, :size] = gram / classes + ridge * identity[:size, :size]
    return torch.linalg.solve_triangular(torch.linalg.cholesky(hessian), identity, upper=False)


def _logits(features: Standardised, solution: Tensor) -> ndarray:
    """(N, K), a block of rows at a time."""
    found = [functional.linear(block, solution[:, :-1], solution[:, -1]) for _, block in features.blocks()]
    return np.asarray(torch.cat(found).numpy()) if found else np.zeros((0, len(solution)), np.float32)


def _hold_out(samples: int, seed: int) -> Tensor:
    """(N,) bool: a random tenth, at least one sample."""
    if samples < 2:
        raise ValueError(f"{samples} training sample: at least 2 are needed to choose a weight decay")
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
