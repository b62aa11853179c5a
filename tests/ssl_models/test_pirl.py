"""PIRL: two heads, two halves of one loss, and a bank that holds untransformed pictures only."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.contrastive import info_nce, info_nce_chance, pirl_nce, pirl_nce_chance
from ssl_models.losses.metric import agreement
from ssl_models.methods.pirl import PIRL
from ssl_models.views.patches import ALL_ORDERS, order_set

torch.set_num_threads(1)

INDEX = torch.tensor([11, 2, 7, 5])


def method(side: int = 24, samples: int = 20, channels: int = 3, **settings: Any) -> PIRL:
    torch.manual_seed(0)
    settings = {"negatives": 10, "projection": 16} | settings
    return PIRL(
        ResNet(depth=10, width=4, channels=channels), DataSpec(samples, {"images": (channels, side, side)}), **settings
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def made(pirl: PIRL, images: Tensor, seed: int = 0) -> tuple[Tensor, ...]:
    return pirl.views(images, torch.Generator().manual_seed(seed))


def total(terms: dict[str, Tensor]) -> Tensor:
    return terms["transformed"] + terms["image"]


def test_views_are_pictures_shuffled_tiles_and_the_rows_to_compare_with(images: Tensor) -> None:
    plain, tiles, negatives = made(method(), images)
    assert plain.shape == (4, 3, 24, 24)
    assert tiles.shape == (36, 3, 16, 16)
    assert negatives.shape == (10,)
    assert negatives.dtype == torch.int64
    assert 0 <= negatives.min() <= negatives.max() < 20


def test_the_agreement_of_the_heads_is_logged_without_a_gradient(images: Tensor) -> None:
    pirl = method(centre=False).eval()
    plain, tiles, negatives = made(pirl, images)
    logged = pirl.loss(plain, tiles, negatives, index=INDEX).terms["agreement"]
    f, g = pirl.image_head(pirl.encoder(plain)), pirl.transformed_head(pirl.encoder(tiles))
    torch.testing.assert_close(logged, agreement(f.detach(), g.detach()))
    assert not logged.requires_grad


@pytest.mark.parametrize(("objective", "criterion"), [("nce", pirl_nce), ("softmax", info_nce)])
def test_the_loss_is_equation_5_of_the_paper(images: Tensor, objective: str, criterion: Any) -> None:
    pirl = method(objective=objective, weight=0.3, temperature=0.1, centre=False).eval()
    plain, tiles, negatives = made(pirl, images)
    terms = pirl.loss(plain, tiles, negatives, index=INDEX).terms

    head = pirl.transformed_head[0]
    tile_vectors = head.each(pirl.encoder(tiles)).view(4, 9, 16)
    g = functional.normalize(head.together(tile_vectors.flatten(1)), dim=1)
    f = functional.normalize(pirl.image_head(pirl.encoder(plain)), dim=1)
    for name, feature, share in (("transformed", g, 0.3), ("image", f, 0.7)):
        losses = []
        for row, sample in enumerate(INDEX.tolist()):
            others = pirl.bank.rows[[n for n in negatives.tolist() if n != sample]]
            own = feature[row] @ pirl.bank.rows[sample] / 0.1
            losses.append(criterion(own[None], (others @ feature[row] / 0.1)[None]))
        torch.testing.assert_close(terms[name], share * torch.cat(losses).mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("transform", ["rotation", "jigsaw_rotation"])
@torch.no_grad()
def test_several_crops_of_both_kinds_look_for_one_row(images: Tensor, transform: str) -> None:
    one = method(transform=transform).eval()
    several = method(transform=transform, crops=3, transformed_crops=2).eval()
    plain, transformed, rows = made(several, images)
    assert plain.shape == (12, 3, 24, 24)
    of_picture = transformed.view(4, 2, -1, *transformed.shape[1:])  # the tiles of a crop, or the one turned picture
    first, second = (of_picture[:, crop].flatten(0, 1) for crop in range(2))
    assert not torch.equal(first, second)
    parts = [one.loss(plain[crop::3], (first, second)[crop % 2], rows, index=INDEX) for crop in range(3)]
    scored = several.loss(plain, transformed, rows, index=INDEX)
    image = sum(part.terms["image"] for part in parts) / 3
    torch.testing.assert_close(scored.terms["image"], image, rtol=1e-5, atol=1e-6)
    halves = (parts[0].terms["transformed"] + parts[1].terms["transformed"]) / 2
    torch.testing.assert_close(scored.terms["transformed"], halves, rtol=1e-5, atol=1e-6)
    index, features = scored.handed_over
    assert torch.equal(index, INDEX)
    torch.testing.assert_close(features, sum(part.handed_over[1] for part in parts) / 3)


def test_the_weights_zero_and_one_give_the_two_halves(images: Tensor) -> None:
    halves = {}
    for weight in (0.0, 0.5, 1.0):
        pirl = method(weight=weight).eval()
        halves[weight] = pirl.loss(*made(pirl, images), index=INDEX).terms
    assert float(halves[0.0]["transformed"].detach()) == 0
    assert float(halves[1.0]["image"].detach()) == 0
    mean = (total(halves[0.0]) + total(halves[1.0])) / 2
    torch.testing.assert_close(total(halves[0.5]), mean)


def test_f_and_g_are_different_parameters_and_each_half_trains_its_own(images: Tensor) -> None:
    for weight, trained, idle in ((1.0, "transformed_head", "image_head"), (0.0, "image_head", "transformed_head")):
        pirl = method(weight=weight)
        total(pirl.loss(*made(pirl, images), index=INDEX).terms).backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in getattr(pirl, trained).parameters())
        assert all(parameter.grad.abs().max() == 0 for parameter in getattr(pirl, idle).parameters())
    shared = {id(p) for p in pirl.image_head.parameters()} & {id(p) for p in pirl.transformed_head.parameters()}
    assert not shared


def test_after_a_step_the_bank_holds_the_average_with_f_of_the_picture_and_nothing_else(images: Tensor) -> None:
    pirl = method(bank_momentum=0.25).eval()
    plain, tiles, negatives = made(pirl, images)
    before = pirl.bank.rows.clone()
    scored = pirl.loss(plain, tiles, negatives, index=INDEX)
    assert torch.equal(pirl.bank.rows, before)  # nothing moves until the step is done
    pirl.after_step(scored.handed_over, 0.1)
    feature = functional.normalize(pirl.image_head(pirl.encoder(plain)), dim=1)
    expected = before.clone()
    expected[INDEX] = functional.normalize(0.25 * before[INDEX] + 0.75 * feature, dim=1).detach()
    torch.testing.assert_close(pirl.bank.rows, expected)


def test_the_bank_does_not_depend_on_the_transformed_picture(images: Tensor) -> None:
    rows = []
    for tiles_scale in (1.0, 0.0):
        pirl = method().eval()
        plain, tiles, negatives = made(pirl, images)
        pirl.after_step(pirl.loss(plain, tiles * tiles_scale, negatives, index=INDEX).handed_over, 0.1)
        rows.append(pirl.bank.rows)
    assert torch.equal(rows[0], rows[1])


def test_the_bank_gets_no_gradient_and_is_checkpointed(images: Tensor) -> None:
    pirl = method()
    total(pirl.loss(*made(pirl, images), index=INDEX).terms).backward()
    assert pirl.bank.rows.grad is None
    assert "bank.rows" in pirl.state_dict()


def shown_orders(pirl: PIRL, batch: int) -> set[tuple[int, ...]]:
    return {tuple(order) for order in pirl.draw_orders(batch, torch.Generator().manual_seed(0)).tolist()}


def test_orders_come_from_all_or_from_a_set() -> None:
    assert len(shown_orders(method(), 300)) > 295
    assert len(shown_orders(method(permutations=ALL_ORDERS), 300)) > 295
    assert len(shown_orders(method(permutations=5), 300)) == 5


@pytest.mark.parametrize("transform", ["rotation", "jigsaw_rotation"])
def test_the_other_transforms(images: Tensor, transform: str) -> None:
    settings = {"smallest_transformed_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
    pirl = method(transform=transform, **settings)
    views = made(pirl, images)
    assert total(pirl.loss(*views, index=INDEX).terms).isfinite()
    if transform == "rotation":
        turned = torch.stack([torch.rot90(images / 255, turns, (2, 3)) for turns in range(4)])
        distance = (views[1] - turned).abs().amax((2, 3, 4))  # (4 turns, B)
        assert (distance.amin(0) < 1e-5).all()
    else:
        assert views[1].shape == (36, 3, 16, 16)


@pytest.mark.parametrize("patch_jitter", [False, True])
def test_tiles_have_colours_of_their_own_only_where_each_is_jittered(patch_jitter: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    plain = torch.randint(60, 190, (40, 3, 1, 1), generator=generator).to(torch.uint8).expand(-1, -1, 24, 24)
    colours = made(method(patch_jitter=patch_jitter), plain)[1].mean((2, 3)).view(40, 9, 3)
    spread = (colours.amax(1) - colours.amin(1)).amax(1)
    assert (spread > 0.05).all() if patch_jitter else (spread < 1e-5).all()


def test_the_transformed_picture_is_not_jittered_besides_its_tiles() -> None:
    plain = torch.tensor([200, 100, 50], dtype=torch.uint8).view(1, 3, 1, 1).expand(200, -1, 24, 24)
    pirl = method(patch_jitter=True, strength=0.0, hue=0.0, grey=0.3)
    tiles = made(pirl, plain)[1].flatten(2)
    grey = ((tiles.amax(1) - tiles.amin(1)).amax(1) < 1e-3).view(200, 9)
    assert float(grey.float().mean()) == pytest.approx(0.3, abs=0.04)  # 0.51, were both
    assert not grey.all(1).any()


def test_the_view_of_the_picture_is_the_same_whether_tiles_are_jittered_or_not(images: Tensor) -> None:
    first, second = (made(method(patch_jitter=jittered), images) for jittered in (False, True))
    assert torch.equal(first[0], second[0])
    assert first[1].shape == second[1].shape


def test_tiles_that_are_jittered_by_nothing_are_the_cells_of_the_picture(images: Tensor) -> None:
    still = {"smallest_transformed_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0, "gap": 0.0}
    shown = made(method(patch_jitter=True, tile=8, permutations=2, **still), images)[1].view(4, 9, -1)
    cells = (images / 255).unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(4, 9, -1)
    nearest = torch.cdist(shown, cells).min(2)
    assert nearest.values.max() < 1e-3
    assert torch.equal(nearest.indices.sort(1).values, torch.arange(9).expand(4, 9))


def test_a_picture_is_turned_before_its_tiles_are_jittered() -> None:
    rows = (torch.arange(24, dtype=torch.uint8) * 10)[:, None].expand(60, 3, 24, 24)
    settings = {"strength": 0.0, "hue": 0.0, "grey": 0.0, "flip": 0.5}
    tiles = made(method(transform="jigsaw_rotation", patch_jitter=True, **settings), rows)[1].view(60, 9, 3, 16, 16)
    upright = (tiles[..., -1, 0] - tiles[..., 0, 0]).abs().amax(2) > 0.1  # (60, 9): values change down a column
    assert torch.equal(upright.any(1), upright.all(1))  # all nine of a picture lie alike
    assert 15 < int(upright.all(1).sum()) < 45


def test_the_set_of_orders_is_chosen_by_the_distance_that_is_named() -> None:
    found = method(permutations=20, permutations_by="mean", permutation_seed=3).orders
    assert found is not None
    assert torch.equal(found, order_set(20, 3, "mean"))
    assert not torch.equal(found, order_set(20, 3))


def test_centred_heads_spread_what_an_untrained_encoder_makes_alike(images: Tensor) -> None:
    mean_similarity = {}
    for centre in (True, False):
        pirl = method(centre=centre)
        features = functional.normalize(pirl.image_head(pirl.encoder(made(pirl, images)[0])), dim=1)
        mean_similarity[centre] = float((features @ features.T).detach().fill_diagonal_(0).sum() / 12)
    assert mean_similarity[True] < 0 < 0.5 < mean_similarity[False]


@pytest.mark.parametrize(("objective", "chance"), [("nce", pirl_nce_chance), ("softmax", info_nce_chance)])
def test_equal_logits_cost_chance(images: Tensor, objective: str, chance: Any) -> None:
    for negatives, compared in ((0, 19), (20, 19), (10, 10)):
        pirl = method(objective=objective, negatives=negatives, weight=0.4)
        pirl.bank.rows.copy_(functional.normalize(torch.ones(20, 16), dim=1))
        assert pirl.chance == pytest.approx(chance(compared))
        plain, tiles, rows = made(pirl, images)
        rows = rows.masked_fill(torch.isin(rows, INDEX), 0) if negatives == 10 else rows  # none of their own rows
        loss = total(pirl.loss(plain, tiles, rows, index=INDEX).terms)
        assert float(loss.detach()) == pytest.approx(pirl.chance, rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"crops": 0}, "crops is 0"),
        ({"transformed_crops": 0}, "transformed_crops is 0"),
        ({"weight": 1.5}, "weight is 1.5"),
        ({"bank_momentum": -0.5}, "bank_momentum is -0.5"),
        ({"negatives": 21}, "negatives is 21; 20 samples allow"),
        ({"negatives": -1}, "negatives is -1"),
        ({"permutations": 1}, "permutations is 1"),
        ({"permutations": ALL_ORDERS + 1}, "permutations is 362881"),
        ({"objective": "hinge"}, "objective is 'hinge'; choose one of nce, nce_constant, softmax"),
        ({"transform": "blur"}, "transform is 'blur'"),
        ({"permutations_by": "sum"}, "permutations_by is 'sum'; choose one of minimum, mean"),
        ({"transform": "rotation", "patch_jitter": True}, "patch_jitter is True, .*'rotation' has no tiles to jitter"),
        ({"side": 20}, "at least 24 px; these are 20 x 20"),
        ({"flip": 2.0}, "flip is 2.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)
