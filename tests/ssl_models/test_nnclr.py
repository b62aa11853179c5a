"""NNCLR: nearest neighbours among earlier pictures as positives, which no gradient goes through."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.methods.nnclr import NNCLR
from tests.ssl_models.two_views import (
    OUT_OF_RANGE,
    gradients,
    loss_of,
    made,
    method,
    pictures,
    restored,
    same,
    score,
    stepped,
)

torch.set_num_threads(1)


def nearest(vector: Tensor, rows: Tensor) -> int:
    """Equation 2 in a loop: the row at the least Euclidean distance."""
    distances = [float((vector / vector.norm() - row).norm()) for row in rows]
    return distances.index(min(distances))


def one_order(neighbours: Tensor, predictions: Tensor, temperature: float) -> Tensor:
    """Equation 3 in a loop, with predictions for projections: each neighbour among the predictions of the batch."""
    losses = []
    for row, near in enumerate(neighbours):
        similar = [near @ (p / p.norm()) / temperature for p in predictions]
        losses.append(torch.stack(similar).exp().sum().log() - similar[row])
    return torch.stack(losses).mean()


def naive(nnclr: NNCLR, views: tuple[Tensor, ...]) -> Tensor:
    """The loss of the paper's pseudo-code, the mean of both orders."""
    projections = [nnclr.projector(nnclr.encoder(view)) for view in views]
    p1, p2 = (nnclr.predictor(projection) for projection in projections)
    rows = nnclr.support.rows
    n1, n2 = (rows[[nearest(each, rows) for each in projection.detach()]] for projection in projections)
    return (one_order(n1, p2, nnclr.temperature) + one_order(n2, p1, nnclr.temperature)) / 2


def projected(nnclr: NNCLR, view: Tensor) -> Tensor:
    """The projections of a view, of length 1."""
    with torch.no_grad():
        return functional.normalize(nnclr.projector(nnclr.encoder(view)), dim=1)


def test_the_neighbour_is_the_nearest_row_of_the_support_set() -> None:
    nnclr = method(NNCLR, support=20)
    vectors = functional.normalize(torch.randn(30, 16, generator=torch.Generator().manual_seed(3)), dim=1)
    rows = nnclr.support.rows
    found = nnclr.neighbours(vectors)
    assert torch.equal(found, rows[[nearest(vector, rows) for vector in vectors]])
    assert len({tuple(row) for row in found.tolist()}) > 5


def test_a_row_of_the_support_set_is_its_own_neighbour() -> None:
    nnclr = method(NNCLR, support=20)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    assert torch.equal(nnclr.neighbours(nnclr.support.rows[order]), nnclr.support.rows[order])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_the_loss_is_equation_3_of_both_orders(temperature: float, training: bool) -> None:
    nnclr = method(NNCLR, support=20, temperature=temperature).train(training)
    views = made(nnclr)
    with torch.no_grad():
        torch.testing.assert_close(loss_of(nnclr, views), naive(nnclr, views), rtol=1e-4, atol=1e-5)


def test_a_loss_worked_by_hand() -> None:
    """With predictions that are projections, and a support set of the pictures' own, it is the loss of that alone."""
    nnclr = method(NNCLR, support=6, temperature=0.5)
    nnclr.predictor = torch.nn.Identity()  # type: ignore[assignment]
    view, _ = made(nnclr)
    vectors = projected(nnclr, view)
    nnclr.support.push(vectors)
    expected = functional.cross_entropy(vectors @ vectors.T / 0.5, torch.arange(6))
    scored = score(nnclr, (view, view))
    torch.testing.assert_close(scored.terms["loss"].detach(), expected)
    assert float(scored.terms["accuracy"]) == 1


def test_the_order_of_the_views_changes_nothing_in_the_loss() -> None:
    nnclr = method(NNCLR)
    first, second = made(nnclr)
    torch.testing.assert_close(loss_of(nnclr, (first, second)), loss_of(nnclr, (second, first)))


def test_no_gradient_goes_through_the_neighbour() -> None:
    """What is left with a prediction that is constant would have to come by way of the neighbours."""
    nnclr = method(NNCLR)
    views = made(nnclr)
    assert same(gradients(nnclr, loss_of(nnclr, views)), gradients(nnclr, naive(nnclr, views)))
    torch.nn.init.zeros_(nnclr.predictor[-1].weight)
    found = gradients(nnclr, loss_of(nnclr, views))
    assert not [name for name, value in found.items() if value.any() and not name.startswith("predictor")]
    assert not nnclr.support.rows.requires_grad
    assert nnclr.support.rows.grad_fn is None


def test_gradient_goes_through_the_predictions_of_both_views() -> None:
    nnclr = method(NNCLR)
    views = tuple(view.requires_grad_() for view in made(nnclr))
    assert all(found.any() for found in torch.autograd.grad(loss_of(nnclr, views), views))


@pytest.mark.parametrize("batch", [6, 3])
def test_equal_predictions_cost_chance_which_follows_the_batch(batch: int) -> None:
    nnclr = method(NNCLR)
    torch.nn.init.zeros_(nnclr.predictor[-1].weight)
    torch.nn.init.ones_(nnclr.predictor[-1].bias)
    scored = score(nnclr, made(nnclr, batch=batch))
    assert nnclr.chance is None
    assert scored.chance == pytest.approx(math.log(batch))
    assert float(scored.terms["loss"].detach()) == pytest.approx(math.log(batch), rel=1e-5)


def test_one_neighbour_for_all_never_costs_less_than_chance() -> None:
    """All samples then share one softmax, and the mean of -log of B shares is least where they are equal."""
    nnclr = method(NNCLR, support=1)
    for seed in range(5):
        scored = score(nnclr, made(nnclr, seed))
        assert float(scored.terms["loss"].detach()) > math.log(6)
        assert float(scored.terms["accuracy"]) == pytest.approx(1 / 6)


def test_the_support_set_takes_the_batch_only_after_the_step() -> None:
    nnclr = method(NNCLR, support=10)
    before = nnclr.support.rows.clone()
    views = made(nnclr)
    handed_over = score(nnclr, views).handed_over
    assert torch.equal(nnclr.support.rows, before)
    torch.testing.assert_close(handed_over, projected(nnclr, views[0]))
    assert ((handed_over @ before.T) < 1 - 1e-4).all(), "a picture could be its own neighbour"
    nnclr.after_step(handed_over, 0.1)
    assert torch.equal(nnclr.support.rows, torch.cat([handed_over, before[6:]]))
    later = score(nnclr, made(nnclr, 1)).handed_over
    nnclr.after_step(later, 0.2)
    assert torch.equal(nnclr.support.rows, torch.cat([later[4:], handed_over[2:], later[:4]])), "the oldest goes first"


@pytest.mark.parametrize(("samples", "kept"), [(1, 1), (3, 1), (40, 10), (4096, 1024), (100_000, 1024)])
def test_by_default_a_quarter_of_the_samples_and_at_most_1024_are_kept(samples: int, kept: int) -> None:
    assert method(NNCLR, samples=samples).support.rows.shape == (kept, 16)


def test_a_resumed_run_goes_on_with_the_same_support_set() -> None:
    first = method(NNCLR)
    for seed in range(3):
        stepped(first, seed)
    second = restored(NNCLR, first)
    assert int(second.support.pointer) == 8  # 3 batches of 6 into 10 rows
    assert [stepped(first, seed) for seed in (7, 8)] == [stepped(second, seed) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_a_batch_larger_than_the_support_set_leaves_its_last_rows() -> None:
    nnclr = method(NNCLR, support=4)
    views = nnclr.views(pictures(6), torch.Generator().manual_seed(0))
    handed_over = score(nnclr, views).handed_over
    nnclr.after_step(handed_over, 0.1)
    assert torch.equal(nnclr.support.rows, handed_over[2:])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *OUT_OF_RANGE,
        ({"temperature": -0.1}, r"temperature is -0\.1; it must be greater than 0"),
        ({"support": 0}, "support is 0; 40 samples allow 1 to that many"),
        ({"support": 41}, "support is 41; 40 samples allow 1 to that many"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(NNCLR, **settings)
