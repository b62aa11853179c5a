"""Many linear support vector machines with the squared hinge loss of scikit-learn's LinearSVC, fitted together.

LinearSVC takes a second a fit of 8,000 samples and 512 features, and choosing a cost for each class and layer takes a
thousand fits. Here all problems share their passes over the samples; the weights agree with LinearSVC's.

Legend: N samples, D features, J problems.
"""

from __future__ import annotations

import numpy as np
from numpy import ndarray


def fit(
    rows: ndarray, targets: ndarray, weights: ndarray, *, gram: ndarray, start: ndarray, tolerance: float
) -> ndarray:
    """(J, D): for each of J problems the minimiser of ||w||^2 / 2 + sum_n weights_n max(0, 1 - targets_n <w, x_n>)^2.

    rows x: (N, D) float32, rotated so that X'X is diagonal. gram: (D,), its diagonal. targets: (J, N), 1 or -1.
    weights: (J, N), 0 to leave a row out. start: (J, D).
    Conjugate gradients (Polak and Ribiere 1969) for all problems together. The preconditioner is the Hessian H to which
    all rows contribute. It ends when <g, H^-1 g>, a measure of the remaining gain, is below `tolerance` times its value
    at zero weights in each problem.
    """
    hessian = (1 + 2 * weights.max(1, keepdims=True) * gram).astype(np.float32)  # (J, D)
    at_zero = 2 * ((targets * weights) @ rows)  # minus the gradient there
    enough = tolerance * np.vecdot(at_zero, at_zero / hessian)
    solution, margins = start, targets * (start @ rows.T)
    step, last, last_size = np.zeros_like(start), np.zeros_like(start), np.ones(len(start), np.float32)
    for _ in range(500):
        gradient = solution - 2 * ((targets * weights * np.maximum(1 - margins, 0)) @ rows)
        towards = gradient / hessian
        size = np.vecdot(gradient, towards)
        if np.all(size <= enough):
            break
        kept = np.maximum(np.vecdot(towards, gradient - last) / last_size, 0)  # with no step yet, of no effect
        step = kept[:, None] * step - towards
        step = np.where(np.vecdot(gradient, step)[:, None] < 0, step, -towards)
        last, last_size = gradient, np.maximum(size, np.finfo(np.float32).tiny)
        moved = targets * (step @ rows.T)
        length = step_length(solution, step, margins, moved, weights)[:, None]
        solution, margins = solution + length * step, margins + length * moved
    return solution


def step_length(solution: ndarray, step: ndarray, margins: ndarray, moved: ndarray, weights: ndarray) -> ndarray:
    """(J,): the length of a step at which the loss is least: the zero of its slope, which is piecewise linear.

    Newton's method, kept between the longest length known to be too short and the shortest known to be too long.
    """
    straight, bend = np.vecdot(solution, step), np.vecdot(step, step)  # of ||w||^2 / 2
    length, short, long = (np.full(len(step), value, np.float32) for value in (0, 0, np.inf))
    heavy = weights * moved
    for _ in range(4):
        slack = np.maximum(1 - margins - length[:, None] * moved, 0)
        slope = straight + length * bend - 2 * np.vecdot(heavy, slack)
        curvature = bend + 2 * np.vecdot(heavy, moved * (slack > 0))
        short, long = np.where(slope < 0, length, short), np.where(slope > 0, length, long)
        length = length - slope / np.maximum(curvature, np.finfo(np.float32).tiny)
        outside = (length < short) | (length > long)
        length[outside] = (short[outside] + long[outside]) / 2
    return length
