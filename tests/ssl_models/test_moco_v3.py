"""MoCo v3: a softmax over the keys of the batch by a slow teacher, and a patch embedding that is left as it was."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ssl_models.methods.moco_v3 import MoCoV3
from ssl_models.optimizers import build_optimizer
from tests.ssl_models.two_views import (
    OUT_OF_RANGE,
    gradients,
    loss_of,
    made,
    method,
    moved,
    pictures,
    restored,
    same,
    score,
    stepped,
)

torch.set_num_threads(1)


def ctr(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """The function of algorithm 1 in a loop: 2 temperature times the cross entropy of each query with its own key."""
    losses = []
    for row, q in enumerate(queries):
        similar = [(q / q.norm()) @ (k / k.norm()) / temperature for k in keys]
        losses.append(torch.stack(similar).exp().sum().log() - similar[row])
    return 2 * temperature * torch.stack(losses).mean()


def sides(moco: MoCoV3, views: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
    """The queries of each view and its keys, with their graphs."""
    queries = [moco.predictor(moco.projector(moco.encoder(view))) for view in views]
    return queries, [moco.teacher.module(view) for view in views]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
def test_the_loss_is_that_of_algorithm_1(temperature: float, training: bool) -> None:
    moco = method(MoCoV3, temperature=temperature).train(training)
    moved(moco.teacher)
    views = made(moco)
    with torch.no_grad():
        (q1, q2), (k1, k2) = sides(moco, views)
        torch.testing.assert_close(loss_of(moco, views), ctr(q1, k2, temperature) + ctr(q2, k1, temperature))


def test_the_accuracy_counts_the_queries_whose_nearest_key_is_their_own() -> None:
    moco = method(MoCoV3)
    moved(moco.teacher)
    views = made(moco)
    terms = score(moco, views).terms
    with torch.no_grad():
        (q1, q2), (k1, k2) = sides(moco, views)
    hits = [
        int(max(range(6), key=lambda column: float(functional.cosine_similarity(q, keys[column], dim=0))) == row)
        for queries, keys in ((q1, k2), (q2, k1))
        for row, q in enumerate(queries)
    ]
    assert 0 < sum(hits) < 12
    assert float(terms["accuracy"]) == pytest.approx(sum(hits) / 12)
    assert not terms["accuracy"].requires_grad


@pytest.mark.parametrize(("batch", "temperature"), [(6, 0.2), (3, 1.0)])
def test_equal_keys_cost_chance_which_follows_batch_and_temperature(batch: int, temperature: float) -> None:
    moco = method(MoCoV3, temperature=temperature).eval()  # without statistics of the batch, so that keys can be equal
    assert moco.chance is None
    one = pictures(1).expand(batch, -1, -1, -1) / 255
    scored = score(moco, (one, one.flip(3)))
    assert moco.teacher(one)[0].norm() > 1e-3
    assert scored.chance == pytest.approx(4 * temperature * math.log(batch))
    assert float(scored.terms["loss"].detach()) == pytest.approx(scored.chance, rel=1e-5)


def test_the_order_of_the_views_changes_nothing() -> None:
    moco = method(MoCoV3)
    moved(moco.teacher)
    first, second = made(moco)
    torch.testing.assert_close(loss_of(moco, (first, second)), loss_of(moco, (second, first)))


def test_gradient_goes_into_the_queries_and_not_into_the_keys() -> None:
    moco = method(MoCoV3)
    moved(moco.teacher)
    views = tuple(view.requires_grad_() for view in made(moco))
    (q1, q2), (k1, k2) = sides(moco, views)
    held, through_keys = ctr(q1, k2.detach(), 0.2) + ctr(q2, k1.detach(), 0.2), ctr(q1, k2, 0.2) + ctr(q2, k1, 0.2)
    found = gradients(moco, loss_of(moco, views))
    assert {name.partition(".")[0] for name in found} == {"encoder", "projector", "predictor"}
    assert same(found, gradients(moco, held))
    for_view, expected, other = (
        torch.autograd.grad(loss, views, retain_graph=True)[0] for loss in (loss_of(moco, views), held, through_keys)
    )
    torch.testing.assert_close(for_view, expected, rtol=1e-3, atol=1e-6)
    assert not torch.allclose(for_view, other, rtol=1e-2, atol=1e-6), "the keys would make a difference"
    loss_of(moco, views).backward()
    assert all(parameter.grad is None for parameter in moco.teacher.parameters())
    assert all(parameter.grad is not None for parameter in moco.network().parameters())


@pytest.mark.parametrize(("progress", "momentum"), [(1 / 3, 0.85), (0.5, 0.9), (1.0, 1.0)])
def test_the_teacher_moves_by_the_scheduled_momentum(progress: float, momentum: float) -> None:
    moco = method(MoCoV3, teacher_momentum=0.8)
    moved(moco.teacher)
    before = [parameter.clone() for parameter in moco.teacher.parameters()]
    moco.after_step(None, progress)
    followed = [*moco.encoder.parameters(), *moco.projector.parameters()]
    for own, start, source in zip(moco.teacher.parameters(), before, followed, strict=True):
        torch.testing.assert_close(own, momentum * start + (1 - momentum) * source.detach())


def test_a_resumed_run_goes_on_with_the_same_teacher() -> None:
    first = method(MoCoV3, "vit")
    for seed in range(3):
        stepped(first, seed)
    second = restored(MoCoV3, first, encoder="vit")
    assert [stepped(first, seed, 0.6) for seed in (7, 8)] == [stepped(second, seed, 0.6) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lars"])
def test_a_vision_transformer_s_patch_embedding_is_frozen_and_the_rest_is_trained(optimizer: str, frozen: bool) -> None:
    moco = method(MoCoV3, "vit", freeze_patches=frozen)
    before = {name: value.clone() for name, value in moco.encoder.named_parameters()}
    steps = build_optimizer(moco, optimizer, learning_rate=0.1, momentum=0.9, weight_decay=0.1)
    for seed in range(2):
        steps.zero_grad()
        loss_of(moco, made(moco, seed)).backward()
        steps.step()
        moco.after_step(None, 0.1)
    still = {name for name, value in moco.encoder.named_parameters() if torch.equal(value, before[name])}
    assert still == ({"patch_embed.proj.weight", "patch_embed.proj.bias"} if frozen else set())
    of_the_teacher = moco.teacher.module[0].patch_embed.proj.weight
    assert torch.allclose(of_the_teacher, before["patch_embed.proj.weight"], rtol=1e-5, atol=1e-7) is frozen


def test_other_encoders_are_trained_as_a_whole() -> None:
    for encoder in ("resnet", "flat"):
        moco = method(MoCoV3, encoder, freeze_patches=True)
        assert all(parameter.requires_grad for parameter in moco.encoder.parameters())


def test_a_frozen_patch_embedding_is_where_it_was_initialised() -> None:
    frozen, free = (method(MoCoV3, "vit", freeze_patches=given).state_dict() for given in (True, False))
    assert all(torch.equal(value, free[name]) for name, value in frozen.items())


@pytest.mark.parametrize(("encoder", "layers"), [("vit", 3), ("resnet", 2), ("flat", 2)])
def test_the_projector_of_a_vision_transformer_has_three_layers(encoder: str, layers: int) -> None:
    """In the authors' code (facebookresearch/moco-v3, moco/builder.py) it has three for ViT, two for ResNet."""
    moco = method(MoCoV3, encoder)
    assert sum(isinstance(layer, nn.Linear) for layer in moco.projector) == layers
    assert sum(isinstance(layer, nn.Linear) for layer in moco.predictor) == 2


def test_every_layer_of_both_heads_is_normalised_over_the_batch() -> None:
    moco = method(MoCoV3, "vit")
    for head in (moco.projector, moco.predictor):
        kinds = [type(layer) for layer in head]
        assert kinds.count(nn.BatchNorm1d) == kinds.count(nn.Linear)
    with torch.no_grad():
        (queries, _), (keys, _) = sides(moco, made(moco))
    for vectors in (queries, keys):
        torch.testing.assert_close(vectors.mean(0), torch.zeros(16), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *OUT_OF_RANGE,
        ({"temperature": 0.0}, r"temperature is 0\.0; it must be greater than 0"),
        ({"teacher_momentum": 1.5}, r"teacher_momentum is 1\.5; it must lie in \[0, 1\]"),
        ({"teacher_momentum_end": -0.5}, r"teacher_momentum_end is -0\.5"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(MoCoV3, **settings)
