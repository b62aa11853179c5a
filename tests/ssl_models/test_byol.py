"""BYOL: predictions of a slow teacher's projections, which no gradient reaches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ssl_models.methods.byol import BYOL
from tests.ssl_models.two_views import (
    NO_CHANGE,
    OUT_OF_RANGE,
    gradients,
    loss_of,
    made,
    method,
    moved,
    pictures,
    restored,
    same,
    stepped,
)

torch.set_num_threads(1)


class Turned(nn.Module):
    """A predictor that is a given function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, vectors: Tensor) -> Tensor:
        return self.function(vectors)


def naive(predictions: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Equation 2 of both orders in a loop: squared distances of vectors of length 1, the mean over the batch."""
    losses = []
    for prediction, target in ((predictions[0], targets[1]), (predictions[1], targets[0])):
        for p, z in zip(prediction, target, strict=True):
            losses.append((p / p.norm() - z / z.norm()).square().sum())
    return torch.stack(losses).sum() / len(predictions[0])


def sides(byol: BYOL, views: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """The predictions of each view, and what the copied network gives, with its graph."""
    predictions = [byol.predictor(byol.projector(byol.encoder(view))) for view in views]
    return predictions, [byol.teacher.module(view) for view in views]


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_equation_2_of_both_orders(training: bool, centre: bool) -> None:
    byol = method(BYOL, centre=centre).train(training)
    moved(byol.teacher)
    views = made(byol)
    with torch.no_grad():
        torch.testing.assert_close(loss_of(byol, views), naive(*sides(byol, views)))


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (lambda z: z, 0.0),
        (lambda z: 7 * z, 0.0),
        (lambda z: -z, 8.0),
        (lambda z: torch.stack([-z[:, 1::2], z[:, ::2]], dim=2).flatten(1), 4.0),
    ],
    ids=["the target", "a longer one", "its opposite", "at right angles"],
)
def test_predictions_cost_what_their_angle_to_the_target_says(
    turn: Callable[[Tensor], Tensor], expected: float
) -> None:
    byol = method(BYOL, **NO_CHANGE)  # the teacher is still equal, and so are the views
    byol.predictor = Turned(turn)  # type: ignore[assignment]
    assert float(loss_of(byol, made(byol)).detach()) == pytest.approx(expected, abs=1e-5)


def test_the_order_of_the_views_changes_nothing() -> None:
    byol = method(BYOL)
    moved(byol.teacher)
    first, second = made(byol)
    torch.testing.assert_close(loss_of(byol, (first, second)), loss_of(byol, (second, first)))


def test_gradient_reaches_neither_the_teacher_nor_the_target() -> None:
    byol = method(BYOL)
    moved(byol.teacher)
    views = tuple(view.requires_grad_() for view in made(byol))
    predictions, targets = sides(byol, views)
    held, open_ = naive(predictions, [target.detach() for target in targets]), naive(predictions, targets)
    for_views = [torch.autograd.grad(loss, views, retain_graph=True)[0] for loss in (loss_of(byol, views), held, open_)]
    torch.testing.assert_close(for_views[0], for_views[1], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(for_views[0], for_views[2], rtol=1e-2, atol=1e-6), "the target would make a difference"
    assert same(gradients(byol, loss_of(byol, views)), gradients(byol, held))
    loss_of(byol, views).backward()
    assert all(parameter.grad is None for parameter in byol.teacher.parameters())
    assert all(parameter.grad is not None for parameter in byol.network().parameters())
    assert all(parameter.grad is not None for parameter in byol.predictor.parameters())


@pytest.mark.parametrize(
    ("progress", "momentum"), [(1 / 3, 0.85), (0.5, 0.9), (1.0, 1.0)]
)  # 1 - 0.2 * (cos(pi progress) + 1) / 2
def test_the_teacher_moves_by_the_scheduled_momentum(progress: float, momentum: float) -> None:
    byol = method(BYOL, teacher_momentum=0.8, teacher_momentum_end=1.0)
    moved(byol.teacher)
    before = [parameter.clone() for parameter in byol.teacher.parameters()]
    byol.after_step(None, progress)
    followed = [*byol.encoder.parameters(), *byol.projector.parameters()]
    for own, start, source in zip(byol.teacher.parameters(), before, followed, strict=True):
        torch.testing.assert_close(own, momentum * start + (1 - momentum) * source.detach())


def test_the_teacher_moves_after_the_step_and_not_in_the_loss() -> None:
    byol = method(BYOL)
    moved(byol.teacher)
    before = [parameter.clone() for parameter in byol.teacher.parameters()]
    loss_of(byol, made(byol)).backward()
    assert all(map(torch.equal, byol.teacher.parameters(), before))
    byol.after_step(None, 0.1)
    assert not any(map(torch.equal, byol.teacher.parameters(), before))


def test_a_resumed_run_goes_on_with_the_same_teacher() -> None:
    first = method(BYOL)
    for seed in range(3):
        stepped(first, seed)
    assert not all(map(torch.equal, first.teacher.parameters(), first.network().parameters()))
    second = restored(BYOL, first)
    assert [stepped(first, seed, 0.6) for seed in (7, 8)] == [stepped(second, seed, 0.6) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_the_predictor_is_the_network_s_alone() -> None:
    byol = method(BYOL)
    shapes = [parameter.shape for parameter in byol.network().parameters()]
    assert [parameter.shape for parameter in byol.teacher.parameters()] == shapes
    assert byol.predictor[0].weight.shape == (24, 16)


def test_the_second_view_alone_is_solarised() -> None:
    byol = method(BYOL, **(NO_CHANGE | {"solarise": 1.0}))
    first, second = made(byol)
    plain = pictures() / 255
    torch.testing.assert_close(first, plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(second, torch.where(plain >= 0.5, 1 - plain, plain), rtol=0, atol=1e-5)


def test_projections_are_centred_over_the_batch_unless_they_are_to_be_the_paper_s() -> None:
    """Without `centre` neither head ends with a batch normalisation, as in section 3.3 of the paper."""
    centred, papers = method(BYOL), method(BYOL, centre=False)
    with torch.no_grad():
        for byol in (centred, papers):
            byol.projector[0][-1].bias.add_(3.0)
            byol.predictor[-1].bias.add_(3.0)
        vectors = centred.encoder(made(centred)[0])
        torch.testing.assert_close(centred.projector(vectors).mean(0), torch.zeros(16), rtol=0, atol=1e-5)
        assert (papers.projector(vectors).mean(0) > 2).all()
        assert (centred.predictor(centred.projector(vectors)).mean(0) > 2).all()


def test_the_loss_does_not_see_the_lengths_of_the_vectors() -> None:
    byol = method(BYOL, centre=False)
    moved(byol.teacher)
    views = made(byol)
    before = loss_of(byol, views).detach()
    with torch.no_grad():
        for last in (byol.predictor[-1], byol.teacher.module[1][0][-1]):
            last.weight.mul_(3)
            last.bias.mul_(3)
    torch.testing.assert_close(loss_of(byol, views).detach(), before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *OUT_OF_RANGE,
        ({"teacher_momentum": 1.5}, r"teacher_momentum is 1\.5; it must lie in \[0, 1\]"),
        ({"teacher_momentum": -0.1}, r"teacher_momentum is -0\.1"),
        ({"teacher_momentum_end": 1.01}, r"teacher_momentum_end is 1\.01"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(BYOL, **settings)
