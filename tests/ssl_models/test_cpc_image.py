"""CPC on images: a prediction knows only what lies before it, and is scored as in the paper."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.cpc_image import CPCImage, MaskedBlock, RowPredictor, exclude_own

torch.set_num_threads(1)

INDEX = torch.arange(4)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def method(side: int = 32, samples: int = 20, channels: int = 3, norm: str = "batch", **settings: Any) -> CPCImage:
    torch.manual_seed(0)
    settings = {"negatives": 20, "projection": 8, "hidden": 8} | settings
    encoder = ResNet(depth=10, width=4, channels=channels, norm=norm)
    return CPCImage(encoder, DataSpec(samples, {"images": (channels, side, side)}), **settings)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=seeded(1))


def turned_back(turns: int, rows: int, grid: int) -> Tensor:
    """(rows, G) numbers of the patches in the last `rows` rows of a grid turned `turns` times, written out by hand."""
    places = {
        0: lambda i, j: i * grid + j,
        1: lambda i, j: j * grid + (grid - 1 - i),  # what was the right column is the top row
        2: lambda i, j: (grid - 1 - i) * grid + (grid - 1 - j),
        3: lambda i, j: (grid - 1 - j) * grid + i,
    }
    return torch.tensor([[places[turns](i, j) for j in range(grid)] for i in range(grid - rows, grid)])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_prediction_has_no_gradient_from_its_own_row_or_any_below(layer_norm: bool) -> None:
    torch.manual_seed(0)
    predictor = RowPredictor(6, 5, steps=4, blocks=4, hidden=7, layer_norm=layer_norm).train()
    grid = torch.randn(2, 5, 5, 6, requires_grad=True)
    for k, prediction in enumerate(predictor(grid), start=1):
        assert prediction.shape == (2, 5 - k, 5, 5)
        for row in range(5 - k):
            (gradient,) = torch.autograd.grad(prediction[0, row].square().sum(), grid, retain_graph=True)
            assert torch.equal(gradient[0, row + 1 :], torch.zeros(4 - row, 5, 6)), "it sees below its context"
            assert (gradient[0, : row + 1].abs().amax((1, 2)) > 0).all(), "four blocks reach the first row"
            assert torch.equal(gradient[1], torch.zeros(5, 5, 6)), "it sees another picture"


def test_a_block_reads_its_row_and_the_one_above_three_columns_wide() -> None:
    torch.manual_seed(0)
    grid = torch.randn(1, 5, 5, 6, requires_grad=True)
    MaskedBlock(6, 32, layer_norm=True)(grid)[0, 2, 2].square().sum().backward()
    seen = (grid.grad.abs().amax(3)[0] > 0).nonzero().tolist()
    assert seen == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]


@pytest.mark.parametrize("direction", range(4))
def test_each_direction_predicts_patches_it_has_not_seen(direction: int) -> None:
    cpc = method(grid=4, steps=3, blocks=3)
    grid = torch.randn(1, 4, 4, cpc.encoder.dim, requires_grad=True)
    predicted, own = cpc.predictions(grid)
    share = len(own) // 4
    part = slice(direction * share, (direction + 1) * share)
    start = 0
    for k in (1, 2, 3):
        numbers = turned_back(direction, 4 - k, 4)
        assert torch.equal(own[part][start : start + numbers.numel()], numbers.flatten())
        for place, target in enumerate(own[part][start : start + numbers.numel()].tolist()):
            score = predicted[part][start + place].square().sum()
            (gradient,) = torch.autograd.grad(score, grid, retain_graph=True)
            unseen = turned_back(direction, 4 - place // 4 - 1, 4).flatten()  # all rows after the context's
            assert target in unseen
            assert gradient.view(16, -1)[unseen].abs().max() == 0
        start += numbers.numel()
    assert start == share


@pytest.mark.parametrize(("norm", "leaks"), [("group", False), ("batch", True)])
def test_changed_patches_below_change_no_prediction_unless_a_batch_norm_of_the_encoder_tells(
    images: Tensor, norm: str, leaks: bool
) -> None:
    cpc = method(norm=norm, version=1, grid=3, steps=2).train()
    tiles, _ = cpc.views(images, seeded())
    other = tiles.clone().view(4, 3, 3, 3, 16, 16)
    other[:, 1:] = torch.rand(4, 2, 3, 3, 16, 16, generator=seeded(5))
    found = []
    for patches in (tiles, other.view(tiles.shape)):
        predicted, _ = cpc.predictions(cpc.encoder(patches).view(4, 3, 3, -1))
        found.append(predicted[:24].view(4, 2, 3, 8)[:, 0])  # W_1 c of row 0, for row 1
    assert torch.allclose(*found, atol=1e-6) is not leaks


@torch.no_grad()
def naive_loss(cpc: CPCImage, tiles: Tensor, drawn: Tensor) -> tuple[float, float]:
    """-log exp(z W_k c / t) / sum over l, one prediction after another, downwards only."""
    grid, batch = cpc.grid, len(tiles) // cpc.grid**2
    vectors = cpc.encoder(tiles)
    z = functional.normalize(cpc.target(vectors), dim=1).view(batch, grid, grid, -1)
    context = cpc.directions[0].context(vectors.view(batch, grid, grid, -1))
    losses, hits = [], []
    for k, weight in enumerate(cpc.directions[0].predict, start=1):
        for b in range(batch):
            for i in range(grid - k):
                for j in range(grid):
                    predicted = functional.normalize(weight(context[b, i, j]), dim=0)
                    own = (b * grid + i + k) * grid + j
                    others = [n for n in drawn.tolist() if n != own][: cpc.negatives or None]
                    scores = [predicted @ z.view(-1, z.shape[-1])[n] / cpc.temperature for n in [own, *others]]
                    losses.append(float(torch.stack(scores).logsumexp(0) - scores[0]))
                    hits.append(float(scores[0] > max(scores[1:])))
    return sum(losses) / len(losses), sum(hits) / len(hits)


@pytest.mark.parametrize("negatives", [5, 0])
def test_the_loss_is_equation_4_of_the_paper(images: Tensor, negatives: int) -> None:
    cpc = method(version=1, negatives=negatives, temperature=0.3).eval()
    tiles, drawn = cpc.views(images, seeded())
    terms = cpc.loss(tiles, drawn, index=INDEX).terms
    loss, accuracy = naive_loss(cpc, tiles, drawn)
    assert float(terms["loss"].detach()) == pytest.approx(loss, rel=1e-4)
    assert float(terms["accuracy"]) == pytest.approx(accuracy)
    assert not terms["accuracy"].requires_grad


def test_every_row_is_compared_with_exactly_n_patches_and_never_with_its_own() -> None:
    drawn, own = torch.tensor([4, 0, 7]), torch.tensor([0, 4, 7, 3])
    logits = exclude_own(torch.zeros(4, 3), own, drawn, 9)
    counts = logits.isfinite().tolist()
    assert counts == [[True, False, True], [False, True, True], [True, True, False], [True, True, False]]


@pytest.mark.parametrize(("negatives", "compared"), [(20, 20), (1, 1), (35, 35), (0, 35)])
def test_patches_that_are_all_alike_cost_chance(images: Tensor, negatives: int, compared: int) -> None:
    cpc = method(negatives=negatives)
    tiles, drawn = cpc.views(images, seeded())
    scored = cpc.loss(torch.full_like(tiles, 0.4), drawn, index=INDEX)
    assert scored.chance == pytest.approx(math.log(compared + 1))
    assert float(scored.terms["loss"].detach()) == pytest.approx(scored.chance, rel=1e-4)


def test_the_drawn_patches_differ_and_may_come_from_the_same_picture(images: Tensor) -> None:
    cpc = method(negatives=20)
    draws = [cpc.views(images, seeded(seed))[1] for seed in range(5)]
    assert all(len(set(drawn.tolist())) == 21 for drawn in draws)
    assert set(torch.cat(draws).tolist()) == set(range(36))  # all places of all four pictures
    assert torch.equal(method(negatives=0).views(images, seeded())[1].sort().values, torch.arange(36))


def test_a_perfect_prediction_is_found_among_all_others() -> None:
    cpc = method(version=1, grid=2, steps=1, negatives=0, temperature=0.01)
    vectors = functional.normalize(torch.randn(16, 8, generator=seeded()), dim=1)
    cpc.encoder, cpc.target = nn.Identity(), nn.Identity()
    cpc.predictions = lambda grid: (grid[:, 1:].flatten(0, 2), torch.arange(16).view(4, 2, 2)[:, 1:].flatten())
    terms = cpc.loss(vectors, torch.arange(16), index=INDEX).terms
    assert float(terms["accuracy"]) == 1
    assert float(terms["loss"]) < 0.01


def test_views_are_the_grid_of_each_picture_row_by_row(images: Tensor) -> None:
    settings = {"smallest_crop": 1.0, "flip": 0.0, "smallest_patch": 1.0, "patch_flip": 0.0, "strength": 0.0}
    cpc = method(**settings, hue=0.0, patch_grey=0.0)
    tiles = cpc.views(images, seeded())[0].view(4, 3, 3, 3, 16, 16)
    for row in range(3):
        for column in range(3):
            part = images[:, :, 8 * row : 8 * row + 16, 8 * column : 8 * column + 16] / 255
            torch.testing.assert_close(tiles[:, row, column], part, rtol=0, atol=1e-4)


def test_version_2_colours_each_patch_by_itself_and_version_1_none() -> None:
    plain = torch.tensor([200, 120, 40], dtype=torch.uint8)[None, :, None, None].expand(4, 3, 32, 32)
    for version, colours in ((1, 1), (2, 30)):
        tiles = method(version=version).views(plain, seeded())[0]
        found = {tuple((10_000 * tile.mean((1, 2))).round().int().tolist()) for tile in tiles}
        assert len(found) == 1 if version == 1 else len(found) >= colours


def test_pictures_turn_grey_as_a_whole(images: Tensor) -> None:
    tiles = method(version=1, grey=1.0).views(images, seeded())[0]
    assert float((tiles - tiles.mean(1, keepdim=True)).abs().max()) < 1e-5


def test_the_versions_differ_in_directions_and_norms_and_neither_context_has_a_batch_norm() -> None:
    for version, directions, norms in ((1, 1, 0), (2, 4, 8)):
        cpc = method(version=version, blocks=2)
        kinds = [type(module) for module in cpc.directions.modules()]
        assert len(cpc.directions) == directions
        assert kinds.count(nn.LayerNorm) == norms
        assert nn.BatchNorm2d not in kinds


def test_all_parameters_are_trained_and_all_states_are_loaded(images: Tensor) -> None:
    cpc, other = method(), method()
    views = cpc.views(images, seeded())
    cpc.loss(*views, index=INDEX).terms["loss"].backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in cpc.parameters())
    with torch.no_grad():
        for parameter in cpc.parameters():
            parameter.mul_(1.1)
    other.load_state_dict(cpc.state_dict())
    losses = [one.loss(*views, index=INDEX).terms["loss"] for one in (cpc.eval(), other.eval())]
    assert torch.equal(*losses)


def test_pictures_that_are_not_square_and_of_one_channel_work() -> None:
    cpc = CPCImage(
        ResNet(depth=10, width=4, channels=1), DataSpec(20, {"images": (1, 28, 40)}), grid=4, steps=3, negatives=9
    )
    pictures = torch.randint(0, 256, (4, 1, 28, 40), dtype=torch.uint8, generator=seeded())
    tiles, drawn = cpc.views(pictures, seeded())
    assert tiles.shape == (64, 1, 16, 16)
    assert cpc.loss(tiles, drawn, index=INDEX).terms["loss"].isfinite()


def test_more_negatives_than_a_batch_has_patches_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match=r"negatives is 36, and a batch of 4 pictures has only 36 patches.* to 35"):
        method(negatives=36).views(images, seeded())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"version": 3}, "version is 3; cpc_image has versions 1 and 2"),
        ({"grid": 1}, "grid is 1"),
        ({"grid": 8, "steps": 2}, "at least 36 px"),
        ({"side": 15}, "at least 16 px .* these are 15 x 15"),
        ({"steps": 3}, "steps is 3; a grid of 3 rows allows 1 to 2"),
        ({"negatives": -1}, "negatives is -1"),
        ({"negatives": 180}, "negatives is 180; 180 patches in all allow 1 to 179"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"tile": 0}, "tile is 0"),
        ({"blocks": 0}, "blocks is 0"),
        ({"smallest_patch": 0.0}, "smallest_patch is 0.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
