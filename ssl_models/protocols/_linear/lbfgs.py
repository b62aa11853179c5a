"""L-BFGS (Nocedal 1980; Nocedal & Wright 2006, algorithm 7.4) that can start from the pairs of a similar problem.

The method estimates the Hessian from pairs: a step, and the change of the gradient along it. A fit that starts from the
solution and the pairs of a similar problem needs about half as many evaluations.

Legend: R rows, C columns of a point.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

KEPT = 10
"""The most pairs."""
ENOUGH = 1e-4
"""The least fall of the loss in a step, as a share of step times slope (Nocedal & Wright 2006, equation 3.4)."""
SHORTENED = 10
"""How often a step is shortened before the fit ends. By then the fall is below the rounding error."""
Loss = Callable[[Tensor], tuple[float, Tensor]]
"""A point (R, C) -> the loss there and its gradient (R, C)."""
Pairs = list[tuple[Tensor, Tensor]]


def minimise(
    loss: Loss, start: Tensor, pairs: Pairs, *, inverse: Tensor, iterations: int, tolerance: float
) -> tuple[Tensor, Pairs]:
    """The minimiser (R, C) of a convex loss, and the last pairs.

    start: (R, C) float64. pairs: those of a similar problem, or none. inverse: (C, C) float64, an estimate of the
    inverse Hessian of each row. iterations: the most steps. tolerance: a step that lowers the loss by less is the last.
    """
    point, pairs = start, list(pairs)
    value, gradient = loss(point)
    for _ in range(iterations):
        step = direction(gradient, pairs, inverse)
        found = _descend(loss, point, value, gradient, step)
        if found is None:
            break
        new, lower, slope = found
        pair = (new - point, slope - gradient)
        if _dot(*pair) > 0:
            pairs = [*pairs, pair][-KEPT:]
        fall = value - lower
        point, value, gradient = new, lower, slope
        if fall < tolerance:
            break
    return point, pairs


def direction(gradient: Tensor, pairs: Pairs, inverse: Tensor) -> Tensor:
    """(R, C): minus the gradient times the inverse Hessian that the pairs give, by the two loops of algorithm 7.4."""
    step, curvatures, parts = -gradient, [_dot(*pair) for pair in pairs], list[float]()
    for (moved, change), curvature in zip(reversed(pairs), reversed(curvatures), strict=True):
        parts.append(_dot(moved, step) / curvature)
        step.add_(change, alpha=-parts[-1])
    step = step @ inverse
    if pairs:  # the last pair gives the scale of `inverse`
        change = pairs[-1][1]
        step *= curvatures[-1] / _dot(change, change @ inverse)
    for (moved, change), curvature, part in zip(pairs, curvatures, reversed(parts), strict=True):
        step.add_(moved, alpha=part - _dot(change, step) / curvature)
    return step


def _descend(
    loss: Loss, point: Tensor, value: float, gradient: Tensor, step: Tensor
) -> tuple[Tensor, float, Tensor] | None:
    """The point after the step or a part of it, with its loss and gradient; None if no part lowers the loss.

    The next part to try is the minimum of the parabola through the known values.
    """
    slope, length = _dot(gradient, step), 1.0
    for _ in range(SHORTENED):
        new = point.add(step, alpha=length)
        lower, found = loss(new)
        if lower <= value + ENOUGH * length * slope:
            return new, lower, found
        parabola = -slope * length / (2 * (lower - value - slope * length))
        length *= min(0.5, max(0.1, parabola))
    return None


def _dot(one: Tensor, other: Tensor) -> float:
    return float(torch.dot(one.flatten(), other.flatten()))
