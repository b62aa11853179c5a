"""MoCo: keys from a slow encoder in a queue, three sources of negatives, and no shortcut through batch norms."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.data import DataSpec
from ssl_models.encoders.resnet import ResNet
from ssl_models.methods.moco import MoCo

torch.set_num_threads(1)

INDEX = torch.tensor([11, 2, 7, 5, 30, 31])
SOURCES = ("queue", "bank", "batch")


def method(side: int = 16, samples: int = 40, channels: int = 3, **settings: Any) -> MoCo:
    torch.manual_seed(0)
    settings = {"projection": 16} | ({} if settings.get("source") == "batch" else {"negatives": 10}) | settings
    return MoCo(
        ResNet(depth=10, width=4, channels=channels), DataSpec(samples, {"images": (channels, side, side)}), **settings
    )


def pictures(batch: int = 6, seed: int = 1) -> Tensor:
    """Smooth random pictures, (B, 3, 16, 16) uint8."""
    coarse = torch.rand(batch, 3, 4, 4, generator=Generator().manual_seed(seed))
    return (functional.interpolate(coarse, size=(16, 16), mode="bilinear") * 255).to(torch.uint8)


def made(moco: MoCo, seed: int = 0) -> tuple[Tensor, ...]:
    return moco.views(pictures(), Generator().manual_seed(seed))


def stepped(moco: MoCo, seed: int = 0) -> float:
    """A training step's loss; the step is done."""
    scored = moco.loss(*made(moco, seed), index=INDEX)
    loss = scored.terms["loss"]
    moco.zero_grad()
    loss.backward()
    with torch.no_grad():
        for parameter in moco.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)
    moco.after_step(scored.handed_over, 0.1)
    return float(loss.detach())


def cross_entropy(query: Tensor, positive: Tensor, negatives: Tensor, temperature: float) -> float:
    """Equation 1 for one query, in a loop."""
    numerator = math.exp(float(query @ positive) / temperature)
    others = sum(math.exp(float(query @ key) / temperature) for key in negatives)
    return -math.log(numerator / (numerator + others))


def test_views_are_a_query_a_key_and_the_order_of_the_keys() -> None:
    for source in ("queue", "batch"):
        queries, keys, order = made(method(source=source))
        assert queries.shape == keys.shape == (6, 3, 16, 16)
        assert not torch.equal(queries, keys)
        assert order.sort().values.tolist() == list(range(6))
    queries, rows = made(method(source="bank"))
    assert queries.shape == (6, 3, 16, 16)
    assert rows.shape == (10,)


def test_the_order_changes_from_step_to_step() -> None:
    moco = method()
    assert len({tuple(made(moco, seed)[2].tolist()) for seed in range(20)}) > 15


@pytest.mark.parametrize("source", SOURCES)
def test_the_loss_is_equation_1_of_the_paper(source: str) -> None:
    moco = method(source=source, temperature=0.3, centre=False).eval()
    views = made(moco)
    terms = moco.loss(*views, index=INDEX).terms
    with torch.no_grad():
        queries = functional.normalize(moco.head(moco.encoder(views[0])), dim=1)
        if source != "bank":  # in evaluation the groups have no statistics, so any order gives the same keys
            keys = functional.normalize(moco.head(moco.encoder(views[1])), dim=1)  # the teacher is still equal
        losses = []
        for row, sample in enumerate(INDEX.tolist()):
            if source == "queue":
                positive, negatives = keys[row], moco.queue.rows
            elif source == "bank":
                positive, negatives = moco.bank.rows[sample], moco.bank.rows[views[1][views[1] != sample]]
            else:
                positive, negatives = keys[row], keys[[other for other in range(6) if other != row]]
            losses.append(cross_entropy(queries[row], positive, negatives, 0.3))
    assert float(terms["loss"].detach()) == pytest.approx(sum(losses) / 6, rel=1e-4)


@torch.no_grad()
def test_a_symmetric_loss_is_the_mean_of_both_directions_and_queues_the_same_keys() -> None:
    one_way, both_ways = (method(symmetric=symmetric).eval() for symmetric in (False, True))
    first, second, order = made(one_way)
    directions = [one_way.loss(*views, order, index=INDEX) for views in ((first, second), (second, first))]
    found = both_ways.loss(first, second, order, index=INDEX)
    for term, value in found.terms.items():
        assert float(value) == pytest.approx(sum(float(one.terms[term]) for one in directions) / 2, rel=1e-5)
    assert torch.equal(found.handed_over, directions[0].handed_over)


@pytest.mark.parametrize("symmetric", [False, True])
def test_only_a_symmetric_loss_trains_by_both_views(symmetric: bool) -> None:
    moco = method(symmetric=symmetric)
    first, second, order = made(moco)
    moco.loss(first, second.requires_grad_(), order, index=INDEX).terms["loss"].backward()
    assert (second.grad is not None) == symmetric


@pytest.mark.parametrize(("source", "count"), [("queue", 10), ("bank", 10), ("batch", 5)])
def test_equal_logits_cost_log_k_plus_1(source: str, count: int) -> None:
    moco = method(source=source, centre=False)
    last = moco.head[0][2]
    last.weight.data.zero_()
    last.bias.data.fill_(1.0)  # every feature is the same vector
    same = functional.normalize(torch.ones(1, 16), dim=1)
    if source == "queue":
        moco.teacher.update(moco.network(), 0.0)
        moco.queue.rows.copy_(same.expand(10, -1))
    views = made(moco)
    if source == "bank":
        moco.bank.rows.copy_(same.expand(40, -1))
        views = views[0], torch.tensor([0, 1, 3, 4, 6, 8, 9, 10, 12, 13])  # none of the batch's own
    scored = moco.loss(*views, index=INDEX)
    assert float(scored.terms["loss"].detach()) == pytest.approx(math.log(count + 1), rel=1e-5)
    assert (scored.chance if source == "batch" else moco.chance) == pytest.approx(math.log(count + 1))
    assert (moco.chance if source == "batch" else scored.chance) is None


def test_the_bank_s_chance_leaves_the_own_row_out_where_all_are_compared() -> None:
    assert method(source="bank", negatives=40).chance == pytest.approx(math.log(40))
    assert method(source="queue", negatives=40).chance == pytest.approx(math.log(41))


def test_the_queue_takes_this_step_s_keys_only_after_the_loss_and_goes_round() -> None:
    moco = method()
    before = moco.queue.rows.clone()
    keys = moco.loss(*made(moco), index=INDEX).handed_over
    assert torch.equal(moco.queue.rows, before)
    assert ((keys @ moco.queue.rows.T) < 1 - 1e-4).all(), "a positive is among the negatives"
    moco.after_step(keys, 0.1)
    assert torch.equal(moco.queue.rows[:6], keys)
    assert torch.equal(moco.queue.rows[6:], before[6:])
    later = moco.loss(*made(moco, 1), index=INDEX).handed_over
    moco.after_step(later, 0.2)
    assert torch.equal(moco.queue.rows, torch.cat([later[4:], keys[2:6], later[:4]]))


def test_without_a_memory_nothing_is_handed_over_and_a_step_moves_nothing() -> None:
    moco = method(source="batch")
    scored = moco.loss(*made(moco), index=INDEX)
    before = copy.deepcopy(moco.state_dict())
    assert scored.handed_over is None
    moco.after_step(scored.handed_over, 0.1)
    assert all(torch.equal(value, before[name]) for name, value in moco.state_dict().items())


def test_the_teacher_moves_by_its_momentum_and_no_gradient_reaches_it_or_the_queue() -> None:
    moco = method(teacher_momentum=0.75)
    before = [parameter.clone() for parameter in moco.teacher.parameters()]
    scored = moco.loss(*made(moco), index=INDEX)
    scored.terms["loss"].backward()
    assert all(parameter.grad is None for parameter in moco.teacher.parameters())
    assert all(parameter.grad is not None for parameter in moco.network().parameters())
    with torch.no_grad():
        for parameter in moco.network().parameters():
            parameter.add_(1.0)
    moco.after_step(scored.handed_over, 0.1)
    for own, start, followed in zip(moco.teacher.parameters(), before, moco.network().parameters(), strict=True):
        torch.testing.assert_close(own, 0.75 * start + 0.25 * followed, check_stride=False)
    assert not moco.queue.rows.requires_grad
    assert moco.queue.rows.grad_fn is None


def test_the_bank_moves_the_batch_s_rows_towards_the_queries() -> None:
    moco = method(source="bank", bank_momentum=0.25)
    before = moco.bank.rows.clone()
    index, queries = moco.loss(*made(moco), index=INDEX).handed_over
    assert torch.equal(index, INDEX)
    moco.after_step((index, queries), 0.1)
    expected = before.clone()
    expected[INDEX] = functional.normalize(0.25 * before[INDEX] + 0.75 * queries, dim=1)
    torch.testing.assert_close(moco.bank.rows, expected)
    assert not moco.bank.rows.requires_grad


def test_end_to_end_gradient_goes_into_both_sides_and_else_into_the_queries_only() -> None:
    for source, both in (("batch", True), ("queue", False)):
        moco = method(source=source)
        queries, keys, order = made(moco)
        queries.requires_grad_()
        keys.requires_grad_()
        moco.loss(queries, keys, order, index=INDEX).terms["loss"].backward()
        assert queries.grad is not None
        assert queries.grad.abs().max() > 0
        assert (keys.grad is not None and float(keys.grad.abs().max()) > 0) is both


@pytest.mark.parametrize("source", SOURCES)
def test_a_resumed_run_goes_on_with_the_same_memory(source: str) -> None:
    first, second = method(source=source), method(source=source)
    for seed in range(3):
        stepped(first, seed)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert [stepped(first, seed) for seed in (7, 8)] == [stepped(second, seed) for seed in (7, 8)]
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


def test_the_version_decides_head_blur_and_temperature_unless_they_are_given() -> None:
    first, second = method(version=1, side=64), method(version=2, side=64)
    assert (first.temperature, first.multi_crop.first.blur) == (0.07, 0.0)
    assert (second.temperature, second.multi_crop.first.blur) == (0.2, 0.5)
    assert isinstance(first.head[0], torch.nn.Linear)
    assert [type(layer).__name__ for layer in second.head[0]] == ["Linear", "ReLU", "Linear"]
    mixed = method(version=1, temperature=0.4, hidden=8, blur=0.3)
    assert (mixed.temperature, mixed.multi_crop.first.blur, mixed.head[0][0].out_features) == (0.4, 0.3, 8)
    assert method(version=2, side=32).multi_crop.first.blur == 0
    assert isinstance(method(version=2, hidden=0).head[0], torch.nn.Linear)


def test_only_the_memory_that_the_source_needs_is_kept() -> None:
    names = {source: {name.partition(".")[0] for name in method(source=source).state_dict()} for source in SOURCES}
    assert names["queue"] == {"encoder", "head", "teacher", "queue"}
    assert names["bank"] == {"encoder", "head", "bank"}
    assert names["batch"] == {"encoder", "head"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"temperature is 0\.0"),
        ({"negatives": 41}, "negatives is 41; 40 samples allow"),
        ({"negatives": 0}, "negatives is 0"),
        ({"negatives": 5, "source": "batch"}, "negatives is 5; source 'batch'"),
        ({"source": "memory"}, "source is 'memory'; choose one of queue, bank, batch"),
        ({"symmetric": True, "source": "batch"}, "symmetric is True, and the source is 'batch'"),
        ({"version": 3}, "version is 3; choose one of 1, 2"),
        ({"teacher_momentum": 1.5}, r"teacher_momentum is 1\.5"),
        ({"bank_momentum": -0.5}, r"bank_momentum is -0\.5"),
        ({"shuffle_groups": 0}, "shuffle_groups is 0"),
        ({"hidden": -1}, "hidden is -1"),
        ({"blur": 1.5}, r"blur is 1\.5"),
        ({"projection": 0}, "projection is 0"),
        ({"smallest_crop": 0.0}, r"smallest_crop is 0\.0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        method(**settings)


def test_samples_that_are_no_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"moco needs pictures of shape \(C, H, W\)"):
        MoCo(ResNet(depth=10, width=4), DataSpec(40, {"images": (16,)}))


def test_a_batch_too_small_for_the_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="shuffle_groups is 4; a batch of 6 allows at most 3"):
        made(method(shuffle_groups=4))
