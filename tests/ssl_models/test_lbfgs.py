"""L-BFGS: minima that are known, steps that are shortened, and curvature that a second fit takes over."""

import numpy as np
import pytest
import torch

from ssl_models.protocols._linear import lbfgs, regression
from ssl_models.protocols._linear.regression import Fit, Problem

ROWS, COLUMNS = 3, 8
FULL = {"iterations": 200, "tolerance": 1e-14}


class Counted:
    """A loss that counts how often it is asked."""

    def __init__(self, loss):
        self.loss, self.asked = loss, 0

    def __call__(self, point):
        self.asked += 1
        return self.loss(point)


def by_torch(function):
    """A function of a point with its gradient by torch's own differentiation."""

    def loss(point):
        point = point.clone().requires_grad_()
        value = function(point)
        value.backward()
        return float(value.detach()), point.grad

    return loss


def start(value=0.0):
    return torch.full((ROWS, COLUMNS), value, dtype=torch.float64)


def quadratic(seed=0, ratio=1e4):
    """A loss with curvatures from 1 to `ratio`, its Hessian of each row, and its minimum."""
    generator = torch.Generator().manual_seed(seed)
    turn, _ = torch.linalg.qr(torch.randn(COLUMNS, COLUMNS, generator=generator, dtype=torch.float64))
    hessian = turn @ torch.diag(torch.logspace(0, np.log10(ratio), COLUMNS, dtype=torch.float64)) @ turn.T
    least = torch.randn(ROWS, COLUMNS, generator=generator, dtype=torch.float64)
    return by_torch(lambda point: ((point - least) @ hessian * (point - least)).sum() / 2), hessian, least


def test_a_quadratic_is_minimised():
    loss, _, least = quadratic()
    found, pairs = lbfgs.minimise(loss, start(), [], inverse=torch.eye(COLUMNS, dtype=torch.float64), **FULL)
    assert torch.allclose(found, least, atol=1e-5)
    assert 0 < len(pairs) <= lbfgs.KEPT


def test_with_the_exact_inverse_one_step_is_enough():
    loss, hessian, least = quadratic()
    counted = Counted(loss)
    found, _ = lbfgs.minimise(counted, start(), [], inverse=torch.linalg.inv(hessian), **FULL)
    assert torch.allclose(found, least, atol=1e-8)
    assert counted.asked <= 4


def test_a_direction_satisfies_the_secant_equation():
    """The inverse that the pairs stand for turns the last change of the gradient into the last step."""
    draws = torch.Generator().manual_seed(0)
    pairs = []
    for _ in range(5):
        step = torch.randn(ROWS, COLUMNS, generator=draws, dtype=torch.float64)
        pairs.append((step, step * torch.rand(COLUMNS, generator=draws, dtype=torch.float64)))
    step, change = pairs[-1]
    assert torch.allclose(lbfgs.direction(change, pairs, torch.eye(COLUMNS, dtype=torch.float64)), -step)


def test_a_step_that_goes_too_far_is_shortened():
    loss = by_torch(lambda point: torch.log(torch.cosh(point)).sum())
    far = 100 * torch.eye(COLUMNS, dtype=torch.float64)
    values = []

    def watched(point):
        value, slope = loss(point)
        values.append(value)
        return value, slope

    found, _ = lbfgs.minimise(watched, start(2.0), [], inverse=far, **FULL)
    assert max(values) > values[0]
    assert torch.allclose(found, start(), atol=1e-5)


def test_where_no_step_helps_it_stays():
    loss = by_torch(lambda point: point.abs().sum())
    found, pairs = lbfgs.minimise(loss, start(), [], inverse=torch.eye(COLUMNS, dtype=torch.float64), **FULL)
    assert torch.equal(found, start())
    assert pairs == []


def test_iterations_are_the_most_steps():
    loss, _, _ = quadratic()
    counted = Counted(loss)
    _, pairs = lbfgs.minimise(
        counted, start(), [], inverse=torch.eye(COLUMNS, dtype=torch.float64), iterations=3, tolerance=0.0
    )
    assert len(pairs) == 3


@pytest.fixture(scope="module")
def problem():
    """Classes that overlap little: at the minimum the curvature is not that at zero weights."""
    draws = np.random.default_rng(0)
    labels = torch.from_numpy(draws.integers(5, size=3000))
    features = torch.from_numpy(draws.normal(size=(3000, 30)) + 0.6 * draws.normal(size=(5, 30))[labels]).float()
    return Problem.of(features, labels, 5)


def fitted(problem, begin, monkeypatch, weight_decay=0.001, tolerance=1e-6):
    """A fit, and the number of evaluations that it took."""
    counted = Counted(regression._loss_and_gradient)
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(regression, "_loss_and_gradient", lambda *given: (asked.append(1), counted.loss(*given))[1])
        found = regression.minimise(
            problem,
            begin,
            row_weights=torch.ones(len(problem.labels)),
            weight_decay=weight_decay,
            iterations=300,
            tolerance=tolerance,
        )
    return found, len(asked)


def test_curvature_of_another_weight_decay_saves_evaluations(problem, monkeypatch):
    strong, _ = fitted(problem, Fit.zero(problem), monkeypatch, weight_decay=0.01)
    plain, many = fitted(problem, Fit(strong.solution, []), monkeypatch)
    handed, few = fitted(problem, strong, monkeypatch)
    assert few < 0.8 * many
    assert torch.allclose(plain.solution, handed.solution, atol=0.02)


def test_the_gradient_is_that_of_the_loss(problem):
    generator = torch.Generator().manual_seed(0)
    solution = 0.1 * torch.randn(5, 31, generator=generator, dtype=torch.float64)
    decay = torch.full((31,), 0.01, dtype=torch.float64)
    weights = torch.rand(3000, generator=generator)
    weights /= weights.sum()

    def written_out(point):
        logits = problem.features.double() @ point[:, :-1].T + point[:, -1]
        losses = torch.nn.functional.cross_entropy(logits, problem.labels, reduction="none")
        return (losses * weights).sum() + (decay * point.square()).sum() / 2

    expected, slope = by_torch(written_out)(solution)
    value, found = regression._loss_and_gradient(problem, weights, decay, solution)
    assert value == pytest.approx(expected, rel=1e-5)
    assert torch.allclose(found, slope, atol=1e-5)
