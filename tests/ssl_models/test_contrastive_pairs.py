"""Contrastive pairs: each pair of a batch's views is pulled or pushed; a network that knows nothing pays for it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.losses.metric import margin_loss
from ssl_models.methods.contrastive_pairs import ContrastivePairs

torch.set_num_threads(1)

INDEX = torch.arange(4)


def method(channels: int = 3, samples: int = 20, **settings: Any) -> ContrastivePairs:
    torch.manual_seed(0)
    settings = {"projection": 16} | settings
    return ContrastivePairs(
        ResNet(depth=10, width=4, channels=channels), DataSpec(samples, {"images": (channels, 16, 16)}), **settings
    )


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(pairs: ContrastivePairs, images: Tensor) -> tuple[Tensor, ...]:
    return pairs.views(images, torch.Generator().manual_seed(0))


def total(terms: dict[str, Tensor]) -> float:
    return float((terms["similar"] + terms["dissimilar"]).detach())


def of_embeddings(pairs: ContrastivePairs, embeddings: Tensor) -> float:
    pull, push = margin_loss(*pairs.pairs(embeddings), pairs.margin)
    return float(pull.mean() + push.mean())


def distance(energy: str, one: Tensor, other: Tensor) -> float:
    if energy == "euclidean":
        return float((one - other).norm())
    return 1 - float(one @ other / (one.norm() * other.norm()))


def test_the_two_views_are_drawn_apart(images: Tensor) -> None:
    first, second = made(method(), images)
    assert first.shape == second.shape == images.shape
    assert ((first - second).abs().amax((1, 2, 3)) > 0.01).all()


def test_without_any_augmentation_both_views_are_the_picture(images: Tensor) -> None:
    plain = method(smallest_crop=1.0, flip=0.0, strength=0.0, hue=0.0, grey=0.0)
    for view in made(plain, images):
        torch.testing.assert_close(view, images / 255, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("energy", "margin"), [("cosine", 0.7), ("euclidean", 3.0)])
def test_the_loss_is_equation_4_over_all_pairs_of_the_batch(images: Tensor, energy: str, margin: float) -> None:
    pairs = method(energy=energy, margin=margin).eval()
    first, second = made(pairs, images)
    terms = pairs.loss(first, second, index=INDEX)
    with torch.no_grad():
        vectors = [*pairs.head(pairs.encoder(first)), *pairs.head(pairs.encoder(second))]
    pull, push, nearest = [], [], []
    for i, one in enumerate(vectors):
        distances = {j: distance(energy, one, other) for j, other in enumerate(vectors) if j != i}
        pull.append(0.5 * distances[(i + 4) % 8] ** 2)
        push += [0.5 * max(0, margin - d) ** 2 for j, d in distances.items() if j != (i + 4) % 8]
        nearest.append(min(distances, key=lambda j: distances[j]) == (i + 4) % 8)
    assert len(push) == 8 * 6
    assert float(terms["similar"].detach()) == pytest.approx(sum(pull) / 8, rel=1e-4)
    assert float(terms["dissimilar"].detach()) == pytest.approx(sum(push) / 48, rel=1e-4)
    assert float(terms["accuracy"]) == pytest.approx(sum(nearest) / 8)
    assert not terms["accuracy"].requires_grad


@pytest.mark.parametrize("energy", ["cosine", "euclidean"])
def test_the_hardest_negatives_are_the_nearest_pictures(energy: str) -> None:
    embeddings = features(10, 5)
    _, hardest = method(energy=energy, negatives=3).pairs(embeddings)
    assert hardest.shape == (10, 3)
    for i, row in enumerate(hardest):
        others = [distance(energy, embeddings[i], embeddings[j]) for j in range(10) if j not in (i, (i + 5) % 10)]
        assert row.tolist() == pytest.approx(sorted(others)[:3], rel=1e-4, abs=1e-6)


def test_as_many_negatives_as_there_are_or_more_are_all_of_them() -> None:
    embeddings = features(10, 5)
    every = method().pairs(embeddings)[1]
    assert every.shape == (10, 8)
    for negatives in (8, 30):
        assert torch.equal(method(negatives=negatives).pairs(embeddings)[1], every)


def test_fewer_and_harder_negatives_cost_more(images: Tensor) -> None:
    losses = [total((pairs := method(negatives=count)).loss(*made(pairs, images), index=INDEX)) for count in (1, 3, 0)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]


def test_what_is_perfect_costs_nothing() -> None:
    for settings in ({}, {"energy": "euclidean", "margin": 1.4}):
        assert of_embeddings(method(**settings), torch.eye(6).repeat(2, 1)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("settings", [{}, {"margin": 1.6}, {"energy": "euclidean"}, {"negatives": 2}])
def test_a_network_that_maps_all_to_one_point_pays_twice_chance(images: Tensor, settings: dict[str, Any]) -> None:
    pairs = method(**settings)
    torch.nn.init.zeros_(pairs.head[-1].weight)
    terms = pairs.loss(*made(pairs, images), index=INDEX)
    assert total(terms) == pytest.approx(pairs.margin**2 / 2, rel=1e-4)
    assert pairs.chance == (None if "negatives" in settings else pytest.approx(pairs.margin**2 / 4))


def test_the_best_of_all_blind_networks_pays_chance() -> None:
    pairs = method(margin=2.0)
    assert of_embeddings(pairs, torch.eye(12)) == pytest.approx(pairs.chance)  # every energy is half the margin


@pytest.mark.parametrize("energy", ["cosine", "euclidean"])
@pytest.mark.parametrize("common", [0.0, 1.0, 3.0])
def test_embeddings_that_do_not_know_their_partners_pay_more_than_chance(energy: str, common: float) -> None:
    pairs = method(energy=energy)
    losses = [of_embeddings(pairs, common + features(32, 8, seed=seed)) for seed in range(20)]
    assert sum(losses) / 20 > pairs.chance  # type: ignore[operator]


def test_the_length_of_the_projections_matters_to_the_euclidean_distance_only(images: Tensor) -> None:
    for energy in ("cosine", "euclidean"):
        pairs = method(energy=energy)
        losses = []
        for _ in range(2):
            losses.append(total(pairs.loss(*made(pairs, images), index=INDEX)))
            for parameter in pairs.head[-1].parameters():
                parameter.data.mul_(0.1)
        assert (losses[0] == pytest.approx(losses[1], rel=1e-3)) == (energy == "cosine")


def test_the_usual_margin_goes_with_the_energy() -> None:
    assert method().margin == 1
    assert method(energy="euclidean").margin == 10
    assert method(energy="euclidean", margin=3.0).margin == 3


def test_grey_data_are_given_light_and_no_colour(images: Tensor) -> None:
    first, second = made(method(channels=1), images[:, :1])
    assert first.shape == second.shape == (4, 1, 16, 16)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"energy": "l2"}, "energy is 'l2'; choose one of cosine, euclidean"),
        ({"margin": 0.0}, "margin is 0.0"),
        ({"margin": 2.5}, "margin is 2.5; a cosine energy is at most 2"),
        ({"negatives": -1}, "negatives is -1; 20 samples allow 1 to 38, or 0 for all"),
        ({"negatives": 39}, "negatives is 39"),
        ({"projection": 0}, "projection is 0"),
        ({"hidden": 0}, "hidden is 0"),
        ({"smallest_crop": 0.0}, "smallest_crop is 0.0"),
        ({"flip": 1.5}, "flip is 1.5"),
        ({"grey": -0.1}, "grey is -0.1"),
        ({"hue": 0.7}, "hue is 0.7"),
        ({"strength": 2.0}, "strength is 2.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"contrastive_pairs needs pictures of shape \(C, H, W\)"):
        ContrastivePairs(ResNet(depth=10, width=4), DataSpec(20, {"images": (48,)}))
