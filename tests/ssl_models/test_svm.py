"""The linear SVM's own solver: scikit-learn's optimum, and a line search that ends where the loss is least."""

import numpy as np
import pytest

from ssl_models.protocols._voc_map import svm
from tests.ssl_models.test_voc_map import CLASSES, TEST, TRAIN, headline, problem, representation  # noqa: F401


def turned(rows):
    """Unit rows with a 1 for the bias, turned as `fit` takes them; the gram's diagonal; the turn."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    extended = np.hstack([unit, np.ones((len(rows), 1))])
    gram, turn = np.linalg.eigh(extended.T @ extended)
    return (extended @ turn).astype(np.float32), gram, turn


@pytest.mark.parametrize("cost", [0.01, 1.0, 100.0])
def test_fit_equals_scikit_learn(problem, cost):  # noqa: F811
    from sklearn.svm import LinearSVC

    features, truth = problem
    targets = np.where(truth["train"].T > 0, 1, -1).astype(np.float32)
    weights = np.float32(cost) * np.where(targets > 0, 2, 1).astype(np.float32)
    weights[:, :50] = 0  # left out, as a fold is
    rows, gram, turn = turned(features["train"])
    start = np.zeros((CLASSES, rows.shape[1]), np.float32)
    found = svm.fit(rows, targets, weights, gram=gram, start=start, tolerance=1e-9) @ turn.T
    unit = features["train"][50:] / np.linalg.norm(features["train"][50:], axis=1, keepdims=True)
    for own, target in zip(found, targets, strict=True):
        other = LinearSVC(C=cost, class_weight={1: 2, -1: 1}, dual=False, tol=1e-8, max_iter=5000)
        other.fit(unit, target[50:])
        assert np.allclose(own[:-1], other.coef_[0], rtol=2e-3, atol=2e-3 * np.abs(other.coef_).max())
        assert own[-1] == pytest.approx(other.intercept_[0], abs=2e-3 * np.abs(other.coef_).max())


def test_where_a_step_ends_is_where_the_loss_is_least():
    draws = np.random.default_rng(0)
    solution, step = draws.normal(size=(2, 3, 6))
    margins, moved = draws.normal(size=(2, 3, 50))
    weights = draws.random((3, 50))

    def loss(length):
        slack = np.maximum(1 - margins - length * moved, 0)
        return ((solution + length * step) ** 2).sum(1) / 2 + (weights * slack**2).sum(1)

    downhill = np.where(loss(1e-4) < loss(0), 1, -1)[:, None]
    step, moved = step * downhill, moved * downhill
    length = svm.step_length(solution, step, margins, moved, weights)
    grid = np.linspace(0, 3, 3001)
    losses = np.stack([loss(value) for value in grid], 1)  # (3, 3001)
    assert length == pytest.approx(grid[losses.argmin(1)], abs=2e-3)
