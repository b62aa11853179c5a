"""The bins of the a*b* plane: which there are, soft targets, weights against rarity, and the way back to a colour."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial import Delaunay
from torch import Generator, Tensor

from ssl_models.views.colour_bins import ColourBins, gamut_bins, hull_bins, rebalancing_weights, soft_cross_entropy
from ssl_models.views.lab import rgb_to_lab

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def bins() -> ColourBins:
    return ColourBins()


def random_colours(batch: int, side: int) -> Tensor:
    rgb = torch.rand(batch, 3, side, side, generator=Generator().manual_seed(0))
    return rgb_to_lab((1.6 * rgb - 0.3).clamp(0, 1))[:, 1:]


def place(a: float, b: float) -> Tensor:
    return torch.tensor([a, b]).view(1, 2, 1, 1)


# ---- which bins there are


def test_the_bins_are_262_different_multiples_of_the_grid() -> None:
    centres = gamut_bins(10)
    assert len(centres) == 262
    assert (centres % 10 == 0).all()
    assert len(centres.unique(dim=0)) == 262
    assert len(gamut_bins(20)) == 77


def test_every_colour_of_srgb_is_rounded_to_a_bin_and_every_bin_has_one() -> None:
    step = torch.arange(0, 256, 5) / 255
    cube = torch.stack(torch.meshgrid(step, step, step, indexing="ij")).view(1, 3, len(step), -1)
    colours = rgb_to_lab(cube)[0, 1:].flatten(1).T
    known = {tuple(centre) for centre in gamut_bins(10).tolist()}
    seen = {tuple(centre) for centre in ((colours / 10).round() * 10 + 0.0).unique(dim=0).tolist()}
    assert seen <= known
    assert len(known - seen) <= 8  # corners of the gamut that a coarse sweep misses
    assert torch.cdist(gamut_bins(10), colours).amin(1).max() < 10 / math.sqrt(2) + 3


def test_the_first_bin_of_the_published_list_is_out_of_reach() -> None:
    edge = torch.linspace(0, 1, 128)
    first, second = torch.meshgrid(edge, edge, indexing="ij")
    faces = [
        torch.stack([first, second, torch.full_like(first, end)]).roll(turn, 0)
        for turn in range(3)
        for end in (0.0, 1.0)
    ]
    colours = rgb_to_lab(torch.stack(faces))[:, 1:].transpose(0, 1).flatten(1).T
    assert torch.cdist(torch.tensor([[-90.0, 50.0]]), colours).min() > 11


PUBLISHED = {  # a* -> the first and last b* in the list of Zhang et al., which has every multiple of 10 between them
    **{-90: (50, 90), -80: (20, 90), -70: (0, 90), -60: (-20, 90), -50: (-30, 100), -40: (-40, 100), -30: (-50, 100)},
    **{-20: (-50, 100), -10: (-60, 100), 0: (-70, 100), 10: (-80, 90), 20: (-80, 90), 30: (-90, 90), 40: (-100, 90)},
    **{50: (-100, 80), 60: (-110, 80), 70: (-110, 80), 80: (-110, 70), 90: (-110, 70), 100: (-90, 0)},
}


def test_the_bins_of_the_hull_are_the_313_of_the_published_list_in_its_order() -> None:
    listed = [[a, b] for a, (first, last) in PUBLISHED.items() for b in range(first, last + 1, 10)]
    assert len(listed) == 313
    assert hull_bins(10).tolist() == listed


@pytest.mark.parametrize("grid", [10, 20])
def test_the_hull_s_bins_are_the_corners_of_the_squares_that_it_enters(grid: int) -> None:
    """By a fine lattice, each point of which lies in one square, and by scipy whether it lies in the hull."""
    step = torch.arange(0, 256, 15) / 255
    cube = torch.stack(torch.meshgrid(step, step, step, indexing="ij")).view(1, 3, len(step), -1)
    hull = Delaunay(rgb_to_lab(cube)[0, 1:].flatten(1).T.double().numpy())
    axis = torch.arange(-115, 115, 0.25) + 0.1
    lattice = torch.cartesian_prod(axis, axis)
    squares = (lattice[torch.from_numpy(hull.find_simplex(lattice.numpy()) >= 0)] / grid).floor().unique(dim=0)
    corners = {(a + i, b + j) for a, b in squares.tolist() for i in (0, 1) for j in (0, 1)}
    assert {(a / grid, b / grid) for a, b in hull_bins(grid).tolist()} == corners


@pytest.mark.parametrize("grid", [1, 7, 10, 40, 200])
def test_the_hull_has_all_bins_of_the_gamut_and_more_that_no_colour_is_rounded_to(grid: int) -> None:
    known, wider = ({tuple(bin) for bin in find(grid).tolist()} for find in (gamut_bins, hull_bins))
    assert known < wider


# ---- soft targets


def test_a_colour_on_a_bin_is_shared_with_its_four_neighbours_as_worked_by_hand(bins: ColourBins) -> None:
    found, shares = bins.encode(place(10, -20))
    assert found.shape == shares.shape == (1, 1, 1, 5)
    neighbour = math.exp(-(10**2) / (2 * 5**2))
    whole = 1 + 4 * neighbour
    assert shares.flatten().tolist() == pytest.approx([1 / whole] + [neighbour / whole] * 4)
    near = {tuple(centre) for centre in bins.centres[found[0, 0, 0]].tolist()}
    assert near == {(10, -20), (0, -20), (20, -20), (10, -10), (10, -30)}
    assert bins.centres[found[0, 0, 0, 0]].tolist() == [10, -20]


@pytest.mark.parametrize("extent", ["gamut", "hull"])
def test_soft_targets_are_the_exact_nearest_bins_with_a_gaussian(extent: str) -> None:
    bins = ColourBins(extent=extent)
    axis = torch.arange(-110, 105, 0.5)
    plane = torch.cartesian_prod(axis + 0.013, axis + 0.029)  # where no two bins are equally far
    plane = plane[torch.cdist(plane, bins.centres).amin(1) < 10 / math.sqrt(2)]
    for colours in (plane.T[None, :, None], random_colours(2, 64)):
        found, shares = bins.encode(colours)
        dense = torch.zeros(*shares.shape[:3], len(bins)).scatter_(3, found, shares).flatten(0, 2)
        distance, nearest = torch.cdist(
            colours.permute(0, 2, 3, 1).reshape(-1, 2).double(), bins.centres.double()
        ).topk(5, largest=False)
        weight = (-distance.square() / 50).exp()
        expected = torch.zeros_like(dense).scatter_(1, nearest, (weight / weight.sum(1, keepdim=True)).float())
        torch.testing.assert_close(dense, expected, rtol=0, atol=1e-5)


def test_a_colour_is_nearest_to_a_bin_of_the_gamut_and_shared_with_others_of_the_hull(bins: ColourBins) -> None:
    wider, colours = ColourBins(extent="hull"), random_colours(2, 64)
    nearest, spread = (found.encode(colours)[0] for found in (bins, wider))
    assert torch.equal(bins.centres[nearest[..., 0]], wider.centres[spread[..., 0]])
    reached = {tuple(bin) for bin in wider.centres[spread.unique()].tolist()}
    assert reached - {tuple(bin) for bin in bins.centres.tolist()}


def test_colours_far_outside_get_a_bin_at_the_edge(bins: ColourBins) -> None:
    found, shares = bins.encode(place(500, -500))
    assert shares.isfinite().all()
    assert bins.centres[found[0, 0, 0, 0]].tolist() == [80, -110]


def test_one_neighbour_is_the_nearest_bin() -> None:
    found, shares = ColourBins(neighbours=1).encode(place(13, -26))
    assert gamut_bins(10)[found.flatten()].tolist() == [[10, -30]]
    assert shares.flatten().tolist() == [1]


def test_the_cross_entropy_is_equation_2_of_the_paper(bins: ColourBins) -> None:
    colours = random_colours(2, 3)
    logits = torch.randn(2, len(bins), 3, 3, generator=Generator().manual_seed(1))
    found, shares = bins.encode(colours)
    loss = soft_cross_entropy(logits, found, shares)
    target = torch.zeros(2, 3, 3, len(bins)).scatter_(3, found, shares)
    for sample in range(2):
        for row in range(3):
            for column in range(3):
                scores = logits[sample, :, row, column].tolist()
                below = math.log(sum(math.exp(score) for score in scores))
                shared = zip(target[sample, row, column].tolist(), scores, strict=True)
                expected = -sum(share * (score - below) for share, score in shared)
                assert float(loss[sample, row, column]) == pytest.approx(expected, rel=1e-5)
    equal = soft_cross_entropy(torch.full_like(logits, 3.0), found, shares)
    torch.testing.assert_close(equal, torch.full_like(equal, math.log(len(bins))))


# ---- weights


def test_smoothing_spreads_to_the_neighbours_and_keeps_the_sum(bins: ColourBins) -> None:
    middle = int((bins.centres == torch.tensor([0.0, 0.0])).all(1).nonzero())
    beside = int((bins.centres == torch.tensor([10.0, 0.0])).all(1).nonzero())
    spread = bins.smooth(torch.eye(len(bins))[middle])
    assert float(spread.sum()) == pytest.approx(1, rel=1e-5)
    assert float(spread[beside] / spread[middle]) == pytest.approx(math.exp(-2), rel=1e-5)
    random = torch.rand(len(bins), generator=Generator().manual_seed(0)).square()
    assert float(bins.smooth(random / random.sum()).sum()) == pytest.approx(1, rel=1e-5)


def test_weights_are_equation_4_of_the_paper_as_worked_by_hand() -> None:
    # p = (1/2, 1/4, 1/4, 0), lambda = 1/2: 1 / (p / 2 + 1 / 8) = 8/3, 4, 4, 8, of which the mean under p is 10/3
    distribution = torch.tensor([0.5, 0.25, 0.25, 0.0])
    weights = rebalancing_weights(distribution, 0.5)
    assert weights.tolist() == pytest.approx([0.8, 1.2, 1.2, 2.4])
    assert float((distribution * weights).sum()) == pytest.approx(1)
    assert rebalancing_weights(distribution, 1.0).tolist() == pytest.approx([1.0] * 4)
    assert rebalancing_weights(torch.full((5,), 0.2), 0.5).tolist() == pytest.approx([1.0] * 5)


# ---- back to colours


def test_the_annealed_mean_lies_between_the_mean_and_the_mode_as_worked_by_hand(bins: ColourBins) -> None:
    ends = [int((bins.centres == torch.tensor(end)).all(1).nonzero()) for end in ([0.0, -30.0], [0.0, 60.0])]
    logits = torch.full((1, len(bins), 1, 1), -1e4)
    logits[0, ends[0]], logits[0, ends[1]] = math.log(2 / 3), math.log(1 / 3)
    assert bins.annealed_mean(logits, 1.0).flatten().tolist() == pytest.approx([0, 0], abs=1e-4)
    first = 2 ** (1 / 0.38) / (2 ** (1 / 0.38) + 1)
    assert bins.annealed_mean(logits, 0.38).flatten().tolist() == pytest.approx([0, -30 * first + 60 * (1 - first)])
    assert bins.annealed_mean(logits, 0.01).flatten().tolist() == pytest.approx([0, -30])


def test_decoding_a_soft_target_gives_about_its_colour(bins: ColourBins) -> None:
    colours = random_colours(2, 16) * 0.6
    found, shares = bins.encode(colours)
    dense = torch.zeros(2, 16, 16, len(bins)).scatter_(3, found, shares).permute(0, 3, 1, 2)
    assert (bins.annealed_mean(dense.log(), 1.0) - colours).norm(dim=1).max() < 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 0}, "grid is 0"),
        ({"extent": "all"}, "extent is 'all'; choose one of gamut, hull"),
        ({"neighbours": 0}, "neighbours is 0"),
        ({"neighbours": 78, "grid": 20}, "neighbours is 78; a grid of 20 has only 77 bins"),
        ({"deviation": 0.0}, "deviation is 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ColourBins(**settings)  # type: ignore[arg-type]


def test_a_temperature_of_zero_is_refused(bins: ColourBins) -> None:
    with pytest.raises(ValueError, match="temperature is 0"):
        bins.annealed_mean(torch.zeros(1, len(bins), 1, 1), 0.0)
