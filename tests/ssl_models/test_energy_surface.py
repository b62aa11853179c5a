"""energy_surface: densities, slopes and descents of energies that are known, and samples of 0 and 1."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ssl_models.datasets import world_points
from ssl_models.encoders import build_encoder
from ssl_models.errors import DoesNotApply, NeedsParts
from ssl_models.protocols import energy_surface
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._energy_surface import landscape, panels
from tests.ssl_models import densities, kinds, oracles

torch.set_num_threads(1)
QUICK = {"draws": 64, "steps": 20}


def measured(given: Representation, seed: int = 0, **settings: int) -> Findings:
    return energy_surface.evaluate(given, seed=seed, **(QUICK | settings))


def scores(given: Representation, seed: int = 0, **settings: int) -> dict[str, Score]:
    return {score.metric: score for score in measured(given, seed, **settings).scores}


def reals(encoder: Any = None, **known: Any) -> Representation:
    given = densities.representation("reals", encoder, train=600, test=300)
    return replace(given, known={**given.known, **known})


def test_an_oracle_scores_one() -> None:
    found = scores(reals(oracles.truth("reals")))
    assert found["overlap"].value > 0.995
    assert found["led_back"].value > 0.99
    binary = densities.representation("binary", oracles.truth("binary"), test=2000, train=2000)
    result = scores(binary, draws=2000)
    assert result["pair_error"].value < 2 * result["pair_error_of_training"].value < 0.05


def test_a_constant_scores_chance() -> None:
    """An even density over the box of 8 x 8; nothing leads anywhere, and all of it is flat."""
    found = scores(reals(oracles.constant("reals")))
    true = np.exp(np.asarray(densities.known("reals")["surface"]))
    assert found["overlap"].value == pytest.approx(np.minimum(true, 1 / 64).sum() / 64, rel=1e-3)
    assert found["led_back"].value == 0
    assert found["flat"].value == 1
    binary = densities.representation("binary", oracles.constant("binary"), test=2000)
    even = np.where(np.eye(9, dtype=bool), 0.5, 0.25)[np.triu_indices(9)]
    expected = np.sqrt(np.mean((even - energy_surface.moments(binary.samples("test")["vectors"])) ** 2))
    assert scores(binary, draws=4000)["pair_error"].value == pytest.approx(expected, abs=0.01)


def test_shuffled_truth_scores_chance() -> None:
    """The true surface, moved by a quarter of the box: hardly any of it is where the model's is."""
    surface = np.roll(np.asarray(densities.known("reals")["surface"]), 16, axis=0)
    assert scores(reals(oracles.truth("reals"), surface=surface.tolist()))["overlap"].value < 0.55
    given = densities.representation("binary", oracles.truth("binary"), test=500)
    turned = replace(given, samples=lambda split: {"vectors": 1 - given.samples(split)["vectors"][:, ::-1].copy()})
    assert scores(turned)["pair_error"].value > 2 * scores(given, draws=500)["pair_error"].value


@pytest.mark.parametrize("kind", densities.KINDS)
def test_same_seed_same_numbers(kind: str) -> None:
    given = densities.representation(kind)
    first, again = (measured(given, 3) for _ in range(2))
    assert first.scores == again.scores
    assert all(np.array_equal(picture, again.pictures[name]) for name, picture in first.pictures.items())


@pytest.mark.parametrize("kind", densities.KINDS)
def test_the_order_of_samples_does_not_matter(kind: str) -> None:
    given = densities.representation(kind, train=64)
    order = np.random.default_rng(1).permutation(64)
    moved = replace(given, samples=lambda split: {"vectors": given.samples(split)["vectors"][order]})
    for one, other in zip(measured(given).scores, measured(moved).scores, strict=True):
        assert (one.metric, one.value) == (other.metric, pytest.approx(other.value, abs=1e-9))


def test_missing_truth_is_told() -> None:
    """Without the true surface there is no overlap, and one panel less."""
    given = reals()
    without = replace(given, known={name: value for name, value in given.known.items() if name != "surface"})
    found = measured(without)
    assert {score.metric for score in found.scores} == {"led_back", "flat"}
    assert found.pictures["surface"].shape[1] < measured(given).pictures["surface"].shape[1]
    with pytest.raises(DoesNotApply, match="the extent of these is not known"):
        measured(replace(given, known={"binary": False}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"draws": 0}, "draws is 0"), ({"steps": -1}, "steps is -1"), ({"points": 1}, "points is 1")],
)
def test_bad_settings_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        measured(densities.representation("binary"), **settings)
    assert not isinstance(refused.value, DoesNotApply)


# ---- landscapes


def gaussian(x: Tensor, centre: float = 0.0, deviation: float = 0.5) -> Tensor:
    return ((x - torch.tensor([centre, 0.0])).square().sum(1)) / (2 * deviation**2)


def log_density(points: Tensor, centre: float, deviation: float = 0.5) -> np.ndarray:
    return (-gaussian(points, centre, deviation) - math.log(2 * math.pi * deviation**2)).numpy()


@pytest.mark.parametrize("apart", [0.0, 0.4, 1.0])
def test_the_overlap_of_two_gaussians_is_the_closed_form(apart: float) -> None:
    """erfc(d / (2 sqrt(2) s)) for centres d apart, of deviation s."""
    points, log_cell = landscape.grid(((-4.0, 4.0), (-4.0, 4.0)), 160)
    one, other = (log_density(points, centre) for centre in (-apart / 2, apart / 2))
    found = landscape.overlap(one, other, math.exp(log_cell))
    assert found == pytest.approx(math.erfc(apart / (2 * math.sqrt(2) * 0.5)), abs=2e-3)


def test_chains_from_anywhere_get_where_the_data_are_and_on_a_plateau_they_stay_about() -> None:
    samples = 0.5 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    data = landscape.data_of(samples[:400], samples[400:])
    for encoder, low, high in ((oracles.Given(gaussian, 2, False), 0.45, 0.55), (oracles.constant("reals"), 1, 3)):
        ends = energy_surface._drawn(encoder, data, 400, 300, torch.Generator().manual_seed(1))
        assert all(low < own.std(0).min() <= own.std(0).max() < high for own in ends)


def test_the_grid_has_as_many_points_as_are_asked_for_where_the_truth_has_none() -> None:
    known = {name: value for name, value in densities.known("reals").items() if name != "surface"}
    given = replace(reals(), known=known)
    coarse, fine = (scores(given, points=points)["flat"] for points in (8, 64))
    assert coarse.high - coarse.low > 4 * (fine.high - fine.low)


def test_a_landscape_of_a_gaussian_has_its_density_and_slope() -> None:
    encoder = oracles.Given(gaussian, 2, False)
    samples = 0.5 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    data = landscape.data_of(samples[:400], samples[400:])
    found = landscape.landscape(encoder, ((-4.0, 4.0), (-4.0, 4.0)), 32, data)
    np.testing.assert_allclose(found.log_density, log_density(found.points, 0.0), atol=1e-4)
    np.testing.assert_allclose(found.slope, found.points.norm(dim=1).numpy() / 0.25, rtol=1e-4)
    assert found.cell == pytest.approx(1 / 16)
    assert found.side == 32


def test_on_the_data_is_what_95_of_100_test_samples_are_and_off_it_what_lies_in_the_box() -> None:
    train = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    test = torch.cat([train + torch.tensor([0.1, 0.0])] * 32 + [torch.full((4, 2), 9.0)])  # 96 are near, 4 are not
    data = landscape.data_of(train, test)
    assert data.radius == pytest.approx(0.1, abs=1e-5)
    points = torch.tensor([[0.05, 0.0], [0.5, 0.5], [-0.4, 0.0], [-0.6, 0.0], [1.4, 1.4], [1.6, 0.5]])
    assert data.near(points).tolist() == [True, False, False, False, False, False]
    assert data.off(points).tolist() == [False, True, True, False, True, False]


def test_a_sample_far_out_makes_no_place_count_as_on_the_data() -> None:
    """Of 800 samples the second nearest counts: one alone is off the data itself."""
    train = torch.cat([torch.zeros(798, 2), torch.tensor([[2.0, 0.0], [-3.0, 0.0]])])
    data = landscape.data_of(train, torch.zeros(100, 2) + torch.tensor([0.1, 0.0]))
    assert landscape.distances(torch.tensor([[2.0, 0.0], [0.5, 0.0], [-3.0, 0.0]]), train).tolist() == [2.0, 0.5, 3.0]
    assert data.near(torch.tensor([[2.0, 0.0], [0.05, 0.0]])).tolist() == [False, True]


def test_between_the_arms_of_a_spiral_is_off_the_data() -> None:
    given = world_points.load(seed=0, density="spiral", train=2000, test=2000)
    data = landscape.data_of(given.train.parts["vectors"], given.test.parts["vectors"])
    points, _ = landscape.grid(world_points.EXTENT, 80)
    log_p = torch.from_numpy(world_points.scaled("spiral").log_density(points.double().numpy()))
    near = data.near(points)
    assert (~near)[(log_p < -5) & (points.norm(dim=1) < 1.5)].double().mean() > 0.95
    assert near[log_p > -3].double().mean() > 0.97


def test_descent_ends_at_the_lowest_place_and_stays_where_there_is_no_slope() -> None:
    starts = torch.tensor([[2.0, 1.0], [-1.0, -2.0], [0.3, 0.0]])
    ends, paths = landscape.descent(oracles.Given(gaussian, 2, False), starts, kept=2)
    assert ends.norm(dim=1).max() < 0.06
    assert paths.shape == (landscape.STEPS + 1, 2, 2)
    assert np.array_equal(paths[0], starts[:2].numpy())
    still, _ = landscape.descent(oracles.constant("reals"), starts)
    assert torch.equal(still, starts)


def test_a_hole_off_the_data_leads_nobody_back_and_a_plateau_is_flat() -> None:
    """All descents end in a hole at (3, 0), off the data; beyond a radius of 2 an energy has no slope."""
    hole = scores(reals(oracles.Given(lambda x: gaussian(x, 3.0), 2, False)))
    assert hole["led_back"].value < 0.1
    plateau = oracles.Given(lambda x: 5 * x.square().sum(1).clamp(max=1.0), 2, False)
    found = scores(reals(plateau))
    assert 0.5 < found["flat"].value < 1


def test_what_is_flat_in_the_truth_is_told_beside_it() -> None:
    """A known surface without any slope is flat throughout; that of the four Gaussians hardly anywhere."""
    even = scores(reals(oracles.truth("reals"), surface=np.full((64, 64), -math.log(64)).tolist()))
    assert even["flat_in_truth"].value == 1
    assert scores(reals(oracles.truth("reals")))["flat_in_truth"].value < 0.2


def test_a_surface_that_is_cut_off_is_not_flat_there() -> None:
    """Of slope 10 throughout, told no lower than -60: without care half of it would be flat."""
    extent = ((0.0, 8.0), (0.0, 8.0))
    points, _ = landscape.grid(extent, 32)
    true = (-10 * points[:, 0] - 20).double().numpy().clip(landscape.CUT).reshape(32, 32)
    assert landscape.flat_in_truth(true, extent, np.ones(32 * 32, bool)) == 0
    assert landscape.flat_in_truth(0.05 * true, extent, np.ones(32 * 32, bool)) == 1


def test_the_slope_of_a_true_surface_is_by_the_width_of_its_cells_each_way() -> None:
    """log p = -0.5 x - 1.5 y over a box of 16 x 4: its slope is 1.58, and that of either half alone 0.5 and 1.5."""
    extent = ((-8.0, 8.0), (-2.0, 2.0))
    points, _ = landscape.grid(extent, 16)
    every = np.ones(256, bool)
    for slopes, flat in (((0.5, 1.5), 0), ((0.5, 0.0), 1), ((0.0, 1.5), 0), ((0.8, 0.8), 0), ((0.7, 0.7), 1)):
        true = -(points * torch.tensor(slopes)).sum(1).double().numpy().reshape(16, 16)
        assert landscape.flat_in_truth(true, extent, every) == flat


@pytest.mark.parametrize("density", ["mixture", "rings", "spiral"])
def test_what_is_flat_in_the_truth_is_what_the_closed_form_says(density: str) -> None:
    """But for a few cells at the narrow bottom between two arms, where differences reach from one side to the other."""
    given = world_points.load(seed=0, density=density, train=2000, test=1000)
    data = landscape.data_of(given.train.parts["vectors"], given.test.parts["vectors"])
    points, _ = landscape.grid(world_points.EXTENT, 64)
    off, x = data.off(points), points.double().numpy()
    log_p, aside = world_points.scaled(density).log_density, 1e-4 * np.eye(2)
    slope = np.hypot(*((log_p(x + step) - log_p(x - step)) / 2e-4 for step in aside))
    found = landscape.flat_in_truth(np.asarray(given.known["surface"]), world_points.EXTENT, off)
    assert found == pytest.approx((slope[off] < landscape.FLAT).mean(), abs=0.01)


# ---- 0 and 1


def test_moments_by_a_loop() -> None:
    x = np.array([[0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    expected = [np.mean([row[i] * row[j] for row in x]) for i in range(3) for j in range(i, 3)]
    np.testing.assert_allclose(energy_surface.moments(x), expected)


def test_the_floor_is_of_as_many_training_samples_as_are_drawn() -> None:
    """A model that draws as the data are drawn is on average at the floor, whatever else there is."""
    given = densities.representation("binary", oracles.truth("binary"), train=2000, test=1000)
    found = [scores(given, seed, draws=100) for seed in range(6)]
    rows = np.linspace(0, 1999, 100).round().astype(int)
    train = energy_surface.moments(given.samples("train")["vectors"][rows])
    floor = np.sqrt(np.mean((train - energy_surface.moments(given.samples("test")["vectors"])) ** 2))
    assert [own["pair_error_of_training"].value for own in found] == pytest.approx([floor] * 6)
    assert np.mean([own["pair_error"].value for own in found]) == pytest.approx(floor, rel=0.3)


def test_states_are_drawn_where_there_is_a_grid_and_filters_of_a_machine() -> None:
    torch.manual_seed(0)
    machine = build_encoder("rbm", visible=densities.UNITS, hidden=5)
    given = densities.representation("binary", machine)
    assert set(measured(given).pictures) == {"samples", "filters"}
    assert set(measured(densities.representation("binary", densities.ring())).pictures) == {"samples"}
    known = {name: value for name, value in given.known.items() if name != "grid"}
    assert measured(replace(given, known=known)).pictures == {}


def test_filters_are_on_one_scale_the_largest_first() -> None:
    weights = np.zeros((4, 2))
    weights[:, 1] = 3.0
    weights[0, 0] = -1.0
    drawn = panels.filters(weights, (2, 2)).astype(int)
    red, blue = (drawn[..., 0] - drawn[..., 2] > 60), (drawn[..., 2] - drawn[..., 0] > 30)
    left, right = (
        np.flatnonzero(red[:, : drawn.shape[1] // 2].any(0)),
        np.flatnonzero(blue[:, : drawn.shape[1] * 9 // 10].any(0)),
    )
    assert left.max() < right.min()


def test_what_it_does_not_apply_to() -> None:
    with pytest.raises(DoesNotApply, match="the protocol 'energy_surface' needs an energy"):
        measured(kinds.representation("sound"))
    text = replace(kinds.representation("text"), encoder=lambda: oracles.truth("reals"))
    with pytest.raises(NeedsParts, match="reads vectors, and these samples have tokens"):
        measured(text)
    three = replace(reals(), encoder=lambda: oracles.Given(lambda x: x.square().sum(1), 3, False))
    with pytest.raises(DoesNotApply, match="these are 3"):
        measured(three)


@pytest.mark.parametrize("surface", [np.zeros((3, 4)), np.full((4, 4), np.nan), np.zeros(4)])
def test_a_surface_of_another_form_is_refused(surface: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be square, and finite"):
        measured(reals(surface=surface.tolist()))
