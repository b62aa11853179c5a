"""SimSiam: predictions of a target held constant, and the collapse that comes without that or without a predictor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from ssl_models.dimensions import deviation, rankme
from ssl_models.methods.simsiam import SimSiam
from tests.ssl_models.two_views import (
    NO_CHANGE,
    OUT_OF_RANGE,
    gradients,
    loss_of,
    made,
    method,
    pictures,
    restored,
    same,
    stepped,
)

torch.set_num_threads(1)

WITHOUT: list[dict[str, Any]] = [{"predictor": 0}, {"stop_gradient": False}]


def naive(predictions: list[Tensor], projections: list[Tensor]) -> Tensor:
    """Equation 2 in a loop, with the cosine of equation 1."""
    losses = []
    for prediction, projection in ((predictions[0], projections[1]), (predictions[1], projections[0])):
        for p, z in zip(prediction, projection, strict=True):
            losses.append(-(p / p.norm()) @ (z / z.norm()) / 2)
    return torch.stack(losses).sum() / len(predictions[0])


def sides(simsiam: SimSiam, views: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """Predictions and projections of each view, with their graphs."""
    projections = [simsiam.projector(simsiam.encoder(view)) for view in views]
    return [simsiam.predictor(projection) for projection in projections], projections


def trained(steps: int, rate: float, *, norm_last: bool = True, **settings: Any) -> tuple[float, float]:
    """The deviation of the directions of the projections, and their rank of at most 32, after a short training."""
    simsiam = method(SimSiam, **({"hidden": 32, "projection": 32, "predictor": 8} | settings))
    if not norm_last:
        simsiam.projector[-1] = nn.Identity()
    optimizer = torch.optim.SGD(simsiam.parameters(), lr=rate, momentum=0.9)
    generator, samples = Generator().manual_seed(0), pictures(32)
    for _ in range(steps):
        loss = loss_of(simsiam, simsiam.views(samples, generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        projections = simsiam.projector(simsiam.encoder(samples / 255)).double().numpy()
    return deviation(projections), rankme(projections)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("settings", [{}, *WITHOUT], ids=str)
def test_the_loss_is_the_mean_negative_cosine_of_both_orders(settings: dict[str, Any], training: bool) -> None:
    simsiam = method(SimSiam, **settings).train(training)
    views = made(simsiam)
    with torch.no_grad():
        torch.testing.assert_close(loss_of(simsiam, views), naive(*sides(simsiam, views)))


def test_the_target_is_held_constant() -> None:
    simsiam, views = method(SimSiam), made(method(SimSiam))
    predictions, projections = sides(simsiam, views)
    held = gradients(simsiam, naive(predictions, [projection.detach() for projection in projections]))
    assert same(gradients(simsiam, loss_of(simsiam, views)), held)
    opened = method(SimSiam, stop_gradient=False)
    through_both = gradients(opened, naive(*sides(opened, views)))
    assert same(gradients(opened, loss_of(opened, views)), through_both)
    assert not same(held, through_both)


def test_no_gradient_goes_through_the_target_where_the_prediction_is_constant() -> None:
    """All that is left then is what comes by way of the target."""
    for settings, reached in (({}, False), ({"stop_gradient": False}, True)):
        simsiam = method(SimSiam, **settings)
        simsiam.predictor[-1].weight.data.zero_()
        found = gradients(simsiam, loss_of(simsiam, made(simsiam)))
        assert any(value.any() for name, value in found.items() if name.startswith("encoder")) is reached
        assert found["predictor.3.bias"].any()


def test_the_stop_gradient_changes_the_gradient_and_not_the_loss() -> None:
    both = [method(SimSiam), method(SimSiam, stop_gradient=False)]
    losses = [loss_of(simsiam, made(simsiam)) for simsiam in both]
    assert torch.equal(*losses)


def test_equal_views_without_a_predictor_are_the_least_loss() -> None:
    simsiam = method(SimSiam, predictor=0, **NO_CHANGE)
    assert float(loss_of(simsiam, made(simsiam)).detach()) == pytest.approx(-1, abs=1e-6)
    assert not list(simsiam.predictor.parameters())


def test_the_order_of_the_views_changes_nothing() -> None:
    simsiam = method(SimSiam)
    first, second = made(simsiam)
    torch.testing.assert_close(loss_of(simsiam, (first, second)), loss_of(simsiam, (second, first)))


def test_projections_are_normalised_over_the_batch_and_predictions_are_not() -> None:
    """Section 3: the projector's output has a batch normalisation, and the predictor's has none."""
    simsiam = method(SimSiam, "resnet")
    with torch.no_grad():
        projections = simsiam.projector(simsiam.encoder(made(simsiam)[0]))
        predictions = simsiam.predictor(projections)
        simsiam.predictor[-1].bias.add_(3.0)
        torch.testing.assert_close(simsiam.predictor(projections), predictions + 3)
    torch.testing.assert_close(projections.mean(0), torch.zeros(16), rtol=0, atol=1e-5)
    torch.testing.assert_close(projections.std(0, correction=0), torch.ones(16), rtol=0, atol=1e-2)


def test_the_projector_has_three_layers_and_the_predictor_is_a_bottleneck_of_two() -> None:
    simsiam = method(SimSiam, hidden=24, projection=16, predictor=5)
    widths = [
        [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)]
        for head in (simsiam.projector, simsiam.predictor)
    ]
    assert widths == [[(32, 24), (24, 24), (24, 16)], [(16, 5), (5, 16)]]


def test_there_is_no_teacher_and_a_resumed_run_goes_on_with_the_same_numbers() -> None:
    first = method(SimSiam)
    assert {name.partition(".")[0] for name in first.state_dict()} == {"encoder", "projector", "predictor"}
    for seed in range(3):
        stepped(first, seed)
    second = restored(SimSiam, first)
    assert [stepped(first, seed) for seed in (7, 8)] == [stepped(second, seed) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


@pytest.fixture(scope="module")
def sound() -> tuple[float, float]:
    """Deviation and rank after a training with the predictor and the stop-gradient."""
    return trained(60, 0.3)


@pytest.mark.parametrize("settings", WITHOUT, ids=str)
def test_training_without_the_predictor_or_the_stop_gradient_collapses(
    settings: dict[str, Any], sound: tuple[float, float]
) -> None:
    """The last batch normalisation keeps vectors from becoming one; but they come to lie along one or two lines.

    Three seeds gave a deviation of 0.94 to 0.99 and a rank of 8.5 to 10.6 with both; 0.67 to 0.86 and 1.7 to 4.0
    without the predictor; 0.49 to 0.61 and 1.3 to 2.1 without the stop-gradient.
    """
    spread, rank = trained(60, 0.3, **settings)
    assert spread < sound[0] - 0.05
    assert rank < 5 < 7 < sound[1]


@pytest.mark.parametrize("settings", WITHOUT, ids=str)
def test_without_the_last_normalisation_the_collapse_is_to_a_point(settings: dict[str, Any]) -> None:
    """Table 3b of the paper trains so and does not collapse; deviations as in figure 2: 0 where all are equal."""
    assert trained(40, 0.2, norm_last=False, **settings)[0] < 0.2


def test_without_the_last_normalisation_both_keep_from_the_collapse() -> None:
    assert trained(40, 0.2, norm_last=False)[0] > 0.6


@pytest.mark.parametrize(
    ("settings", "message"),
    [*OUT_OF_RANGE, ({"predictor": -1}, "predictor is -1; it must be at least 1, or 0 for none")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(SimSiam, **settings)
