"""Small crops in SimCLR and MoCo: further pairs and further queries; without them every number stays as it was."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.contrastive import nt_xent, nt_xent_accuracy
from ssl_models.losses.metric import n_pair, n_pair_penalty
from ssl_models.method import Method, Scored
from ssl_models.methods.moco import MoCo
from ssl_models.methods.simclr import SimCLR
from ssl_models.parallel.view_shares import in_order
from ssl_models.views.augmentation import Augmentation
from ssl_models.views.drawing import Share

torch.set_num_threads(1)

B, N = 6, 3
INDEX = torch.tensor([11, 2, 7, 5, 30, 31])
SOURCES = ("queue", "bank", "batch")


def simclr(**settings: Any) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR(ResNet(depth=10, width=4), DataSpec(40, {"images": (3, 32, 32)}), **settings)


def moco(source: str = "queue", **settings: Any) -> MoCo:
    torch.manual_seed(0)
    usual = {"projection": 16} | ({} if source == "batch" else {"negatives": 10})
    data = DataSpec(40, {"images": (3, 32, 32)})
    return MoCo(ResNet(depth=10, width=4), data, source=source, **usual | settings)


def method(case: str, **settings: Any) -> Method:
    return simclr(**settings) if case == "simclr" else moco(case, **settings)


def pictures() -> Tensor:
    """Smooth random pictures, (B, 3, 32, 32) uint8."""
    coarse = torch.rand(B, 3, 6, 6, generator=Generator().manual_seed(1))
    return (functional.interpolate(coarse, size=(32, 32), mode="bilinear") * 255).to(torch.uint8)


def made(built: Method, seed: int = 0) -> tuple[Tensor, ...]:
    return built.views(pictures(), Generator().manual_seed(seed))


def score(built: Method, views: tuple[Tensor, ...]) -> Scored:
    return Scored.of(built.loss(*views, index=INDEX))


# ---- views


@pytest.mark.parametrize("case", ["simclr", *SOURCES])
def test_the_small_crops_come_last_and_leave_all_other_draws_as_they_were(case: str) -> None:
    built, without = method(case, small_crops=N), method(case)
    views, before = made(built), made(without)
    assert views[-1].shape == (N * B, 3, 16, 16)
    assert len(views) == len(before) + 1
    assert all(torch.equal(*pair) for pair in zip(views[:-1], before, strict=True))
    assert built.layout(views) == (*without.layout(before), N)


@pytest.mark.parametrize("case", ["simclr", *SOURCES])
def test_views_made_in_parts_are_those_of_the_whole_batch(case: str) -> None:
    built = method(case, small_crops=N)
    whole = made(built)
    parts = [built.views(pictures()[2 * n :][:2], Share("cpu", n, 3).manual_seed(0)) for n in range(3)]
    for blocks, view, *found in zip(built.layout(whole), whole, *parts, strict=True):
        if blocks:
            torch.testing.assert_close(in_order(torch.cat(found), blocks, 3), view, rtol=0, atol=1e-6)
        else:
            assert all(torch.equal(part, view) for part in found)


@pytest.mark.parametrize("case", ["simclr", *SOURCES])
def test_small_crops_add_nothing_to_the_state(case: str) -> None:
    built, without = method(case, small_crops=N).state_dict(), method(case).state_dict()
    assert built.keys() == without.keys()
    assert all(torch.equal(value, without[name]) for name, value in built.items())


# ---- SimCLR


def projections(built: SimCLR, views: tuple[Tensor, ...]) -> list[Tensor]:
    """Of each crop by itself; in evaluation no statistics join them."""
    crops = [*views[:2], *views[2].split(B)]
    return [built.head(built.encoder(crop)) for crop in crops]


def test_simclr_is_the_mean_over_the_large_pair_and_all_pairs_of_a_large_and_a_small_crop() -> None:
    built = simclr(small_crops=N, temperature=0.2).eval()
    views = made(built)
    scored = score(built, views)
    first, second, *small = projections(built, views)
    losses, accuracies = [nt_xent(first, second, 0.2)], [nt_xent_accuracy(first, second)]
    for crop in small:
        for large in (first, second):
            losses.append(nt_xent(large, crop, 0.2))
            accuracies.append(nt_xent_accuracy(large, crop))
    assert len(losses) == 1 + 2 * N
    torch.testing.assert_close(scored.terms["loss"], sum(losses) / len(losses))
    torch.testing.assert_close(scored.terms["accuracy"], sum(accuracies) / len(losses))
    assert scored.chance == pytest.approx(math.log(2 * B - 1))


def test_the_n_pair_objective_is_the_mean_over_the_same_pairs() -> None:
    built = simclr(small_crops=1, objective="n_pair", length_penalty=0.1).eval()
    views = made(built)
    terms = score(built, views).terms
    first, second, small = projections(built, views)
    pairs = [(first, second), (first, small), (second, small)]
    torch.testing.assert_close(terms["loss"], sum(n_pair(*pair) for pair in pairs) / 3)
    torch.testing.assert_close(terms["penalty"], 0.1 * sum(n_pair_penalty(*pair) for pair in pairs) / 3)


def test_equal_projections_cost_chance_with_small_crops_too() -> None:
    built = simclr(small_crops=N)
    nn.init.zeros_(built.head[-1].weight)
    scored = score(built, made(built))
    assert float(scored.terms["loss"].detach()) == pytest.approx(scored.chance, rel=1e-5)


# ---- MoCo


@pytest.mark.parametrize("source", SOURCES)
def test_moco_s_small_crops_are_further_queries_for_the_same_key_against_the_same_negatives(source: str) -> None:
    """Equation 1 for each query in a loop; in evaluation groups have no statistics."""
    built = moco(source, small_crops=N, temperature=0.3, centre=False).eval()
    views = made(built)
    with torch.no_grad():
        terms = score(built, views).terms
        vectors = [functional.normalize(built.head(built.encoder(view)), dim=1) for view in (views[0], views[-1])]
        keys = None if source == "bank" else functional.normalize(built.head(built.encoder(views[1])), dim=1)
    losses, found = [], []
    for number, query in enumerate(torch.cat(vectors)):
        place = number % B
        if source == "bank":
            sample = int(INDEX[place])
            positive, others = built.bank.rows[sample], built.bank.rows[views[1][views[1] != sample]]
        else:
            assert keys is not None
            rest = keys[[other for other in range(B) if other != place]]
            positive, others = keys[place], built.queue.rows if source == "queue" else rest
        logits = torch.cat([positive[None], others]) @ query / 0.3
        losses.append(float(logits.logsumexp(0) - logits[0]))
        found.append(float(logits[0] > logits[1:].max()))
    assert len(losses) == (1 + N) * B
    assert float(terms["loss"]) == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert float(terms["accuracy"]) == pytest.approx(sum(found) / len(found))


@pytest.mark.parametrize("source", ["queue", "bank"])
def test_what_is_remembered_is_of_large_views_alone(source: str) -> None:
    built, without = moco(source, small_crops=N).eval(), moco(source).eval()
    views = made(built)
    one, other = score(built, views).handed_over, score(without, views[:-1]).handed_over
    for pair in zip(*([one, other] if source == "bank" else [[one], [other]]), strict=True):
        assert torch.equal(*pair)


def test_batch_statistics_of_small_crops_are_those_of_a_group() -> None:
    """Another picture's small crops change a query's vector where it is in the same group, and nowhere else."""
    built = moco(small_crops=2, shuffle_groups=2).double()
    views = tuple(view.double() if view.is_floating_point() else view for view in made(built))
    small = views[-1].clone()
    small[B - 1] = 1 - small[B - 1]  # the first small crop of the last picture, in the second group
    with torch.no_grad():
        before = built.queries(views, B)
        after = built.queries((*views[:-1], small), B)
    changed = torch.stack([(one - other).abs().amax(1) > 1e-9 for one, other in zip(before, after, strict=True)])
    half = [False] * 3 + [True] * 3
    assert changed.tolist() == [[False] * B, half, half]


def test_queries_are_in_the_order_of_crops_and_pictures() -> None:
    built = moco(small_crops=2, shuffle_groups=2, centre=False).eval()
    views = made(built)
    with torch.no_grad():
        found = built.queries(views, B)
        for query, crops in zip(found, [views[0], *views[-1].split(B)], strict=True):
            torch.testing.assert_close(query, built.in_groups(built.network(), crops))


# ---- both


@pytest.mark.parametrize("case", ["simclr", *SOURCES])
def test_gradients_come_from_the_small_crops_too(case: str) -> None:
    built = method(case, small_crops=N)
    views = made(built)
    views[-1].requires_grad_()
    score(built, views).terms["loss"].backward()
    assert (views[-1].grad.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.parametrize("case", ["simclr", *SOURCES])
def test_a_training_goes_on_from_its_state(case: str) -> None:
    def stepped(built: Method, seed: int) -> float:
        scored = score(built, made(built, seed))
        built.zero_grad()
        scored.terms["loss"].backward()
        with torch.no_grad():
            for parameter in built.parameters():
                if parameter.grad is not None:
                    parameter.sub_(parameter.grad, alpha=0.1)
        built.after_step(scored.handed_over, 0.1)
        return float(scored.terms["loss"].detach())

    first, second = method(case, small_crops=2), method(case, small_crops=2)
    stepped(first, 0)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert [stepped(first, seed) for seed in (7, 8)] == [stepped(second, seed) for seed in (7, 8)]


@pytest.mark.parametrize("case", ["simclr", "queue"])
def test_inversion_and_gamma_go_to_every_view(case: str) -> None:
    """In a bright picture a crop that is inverted is dark."""
    still = {"smallest_crop": 1.0, "flip": 0.0, "strength": 0.0, "hue": 0.0, "grey": 0.0}
    bright = torch.full((B, 3, 32, 32), 204, dtype=torch.uint8)
    inverted = method(case, small_crops=1, invert=1.0, **still).views(bright, Generator().manual_seed(0))
    bent = method(case, small_crops=1, gamma=1.0, **still).views(bright, Generator().manual_seed(0))
    for dark, power in zip(inverted, bent, strict=True):
        if dark.is_floating_point():
            torch.testing.assert_close(dark, torch.full_like(dark, 0.2))
            assert ((power - 0.8).abs().amax((1, 2, 3)) > 1e-3).all()


@pytest.mark.parametrize("case", ["simclr", "queue"])
def test_by_default_there_is_neither_a_small_crop_nor_inversion_nor_gamma(case: str) -> None:
    built = method(case)
    plain = Augmentation(blur=0.0, size=(32, 32))
    assert (built.multi_crop.first, built.multi_crop.second, built.multi_crop.count) == (plain, plain, 0)


@pytest.mark.parametrize("case", ["simclr", *SOURCES])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"small_crops": -1}, "small_crops is -1; it must be at least 0"),
        ({"small_crops": 2, "smallest_small_crop": 0.0}, r"smallest_small_crop is 0\.0; it must be over 0"),
        ({"small_crops": 2, "smallest_small_crop": 0.3}, r"smallest_small_crop is 0\.3; .* smallest_crop, 0\.2"),
        ({"invert": 1.5}, r"invert is 1\.5"),
        ({"gamma": -0.5}, r"gamma is -0\.5"),
    ],
)
def test_settings_out_of_range_are_refused(case: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(case, **settings)
