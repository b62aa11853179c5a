"""A linear classifier on features: multinomial logistic regression with the best of several weight decays.

Legend: N samples, M test samples, D features, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from ssl_models.errors import NeedsSamples
from ssl_models.protocols._linear import regression, sgd
from ssl_models.protocols._linear.regression import Fit, Problem
from ssl_models.protocols._linear.standardised import Standardised

WEIGHT_DECAYS = [0.001, 0.01, 0.1]
SOLVERS = ("lbfgs", "sgd")
EXACT, ROUGH = 5e-6, 1e-3
"""Tolerances, in nats: of a fit that is reported, and of one that only ranks weight decays.

A step that lowers the loss by less is the last. Against a fit to 1e-7 EXACT changes top-1 by .07 points (root mean
square of 60 layers of the world's runs, 2,048 test samples) and by .20 at most.
"""


@dataclass(frozen=True)
class Fitting:
    """How a classifier is fitted: see `evaluate` in protocols/linear.py. Raises ValueError for values out of range."""

    weight_decays: list[float]
    iterations: int
    seed: int
    solver: str = "lbfgs"

    def __post_init__(self) -> None:
        _checked_decays(self.weight_decays)
        if self.iterations < 1:
            raise ValueError(f"iterations = {self.iterations} must be at least 1")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver = {self.solver!r} is unknown; choose one of {', '.join(SOLVERS)}")

    def hold_out(self, units: int) -> Tensor | None:
        """(units,) bool: a random tenth that ranks the weight decays, at least one; None where there is only one.

        units: samples, or what several samples of one origin are held out by. Raises NeedsSamples for a single unit.
        """
        if len(_checked_decays(self.weight_decays)) == 1:
            return None
        if units < 2:
            raise NeedsSamples(f"{units} training sample: at least 2 are needed to choose a weight decay")
        chosen = np.random.default_rng(self.seed).permutation(units)[: max(1, units // 10)]
        held_out = torch.zeros(units, dtype=torch.bool)
        held_out[torch.from_numpy(chosen)] = True
        return held_out

    def solutions(
        self, train: Standardised, sets: Sequence[tuple[Tensor, int]], held_out: Tensor | None
    ) -> list[Tensor]:
        """(K, D + 1) for each set of labels (N,) int64 of K classes, all on the same features.

        held_out: (N,) bool, as `hold_out` draws it.
        """
        decays = _checked_decays(self.weight_decays)
        if self.solver == "sgd":
            return [
                fit_best_by_sgd(train, labels, classes, decays, self.iterations, held_out, self.seed)
                for labels, classes in sets
            ]
        labels, classes = sets[0]
        first = Problem.of(train.all(), labels, classes)
        problems = [replace(first, labels=labels, classes=classes) for labels, classes in sets]
        return [fit_best(problem, decays, self.iterations, held_out) for problem in problems]


def logits(features: Standardised, solution: Tensor) -> ndarray:
    """(M, K), computed in blocks of rows."""
    found = [functional.linear(block, solution[:, :-1], solution[:, -1]) for _, block in features.blocks()]
    return np.asarray(torch.cat(found).numpy()) if found else np.zeros((0, len(solution)), np.float32)


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


def fit_best(problem: Problem, decays: list[float], iterations: int, held_out: Tensor | None) -> Tensor:
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
        scores = functional.linear(problem.features[held_out], weights[:, :-1], weights[:, -1])
        trials.append((float(functional.cross_entropy(scores, problem.labels[held_out])), decay, found))
    _, decay, found = min(trials, key=lambda trial: trial[0])
    return minimise(found, decay, everything, EXACT).solution.float()


def fit_best_by_sgd(
    train: Standardised,
    labels: Tensor,
    classes: int,
    decays: list[float],
    epochs: int,
    held_out: Tensor | None,
    seed: int,
) -> Tensor:
    """(K, D + 1): as `fit_best`, with features read in blocks. A trial takes a quarter of the epochs."""
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
        found = torch.from_numpy(logits(train, solution))
        trials.append((float(functional.cross_entropy(found[held_out], labels[held_out])), decay))
    return descend(min(trials)[1], everything, epochs)


def _checked_decays(weight_decays: list[float]) -> list[float]:
    """Sorted from strong to weak."""
    if not isinstance(weight_decays, list | tuple) or not weight_decays:
        raise ValueError(f"weight_decays = {weight_decays!r} must be a list of at least one number, such as [0.01]")
    if not all(isinstance(decay, int | float) and isfinite(decay) and decay > 0 for decay in weight_decays):
        raise ValueError(f"weight_decays = {weight_decays!r} must be finite numbers above 0")
    return sorted({float(decay) for decay in weight_decays}, reverse=True)
