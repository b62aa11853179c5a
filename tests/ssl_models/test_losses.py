"""Losses against values worked by hand, and against loops written from the papers' equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ssl_models.losses.contrastive import (
    clip_nt_xent,
    info_nce,
    info_nce_chance,
    info_nce_in_batch,
    nt_xent,
    nt_xent_accuracy,
    nt_xent_chance,
    pirl_nce,
    pirl_nce_chance,
    unit,
)

torch.set_num_threads(1)


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()))


def test_nt_xent_by_hand() -> None:
    # Both views of the first picture are e1, both of the second e2. Each row: one similarity of 1, two of 0.
    views = torch.eye(2)
    for temperature in (0.1, 0.5, 1.0):
        expected = -math.log(math.exp(1 / temperature) / (math.exp(1 / temperature) + 2))
        assert float(nt_xent(views, views, temperature)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert float(nt_xent_accuracy(views, views)) == 1
    assert float(nt_xent_accuracy(views, views.flip(0))) == 0


def test_nt_xent_is_equation_1_of_the_paper() -> None:
    first, second, temperature = features(5, 8), features(5, 8, seed=1), 0.3
    z = [vector for pair in zip(first, second, strict=True) for vector in pair]  # the paper's order: 2k - 1, 2k

    def pair_loss(i: int, j: int) -> float:
        below = sum(math.exp(cosine(z[i], z[k]) / temperature) for k in range(10) if k != i)
        return -math.log(math.exp(cosine(z[i], z[j]) / temperature) / below)

    expected = sum(pair_loss(2 * k, 2 * k + 1) + pair_loss(2 * k + 1, 2 * k) for k in range(5)) / 10
    assert float(nt_xent(first, second, temperature)) == pytest.approx(expected, rel=1e-5)


def test_nt_xent_knows_neither_order_nor_length_nor_which_view_is_first() -> None:
    first, second = features(6, 4), features(6, 4, seed=1)
    loss = nt_xent(first, second, 0.5)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(nt_xent(first[order], second[order], 0.5), loss)
    torch.testing.assert_close(nt_xent(second, first, 0.5), loss)
    torch.testing.assert_close(nt_xent(3 * first, 0.1 * second, 0.5), loss)
    assert nt_xent(first, first, 0.5) < loss < nt_xent(first, first.roll(1, 0), 0.5)


def test_equal_similarities_cost_chance() -> None:
    same = torch.ones(7, 4)
    assert float(nt_xent(same, same, 0.2)) == pytest.approx(nt_xent_chance(7), rel=1e-5)
    assert nt_xent_chance(7) == pytest.approx(math.log(13))
    logits, negatives = torch.full((3,), 2.0), torch.full((3, 50), 2.0)
    assert info_nce(logits, negatives).tolist() == pytest.approx([info_nce_chance(50)] * 3, rel=1e-5)
    assert info_nce_chance(50) == pytest.approx(math.log(51))
    assert pirl_nce(logits, negatives).tolist() == pytest.approx([pirl_nce_chance(50)] * 3, rel=1e-5)
    assert pirl_nce_chance(50) == pytest.approx(math.log(51) + 50 * math.log(51 / 50))
    assert pirl_nce_chance(32_000) == pytest.approx(math.log(32_001) + 1, rel=1e-4)


def test_info_nce_is_the_softmax_of_the_positive() -> None:
    positive, negative = features(4), features(4, 9, seed=1)
    expected = -torch.cat([positive[:, None], negative], dim=1).log_softmax(1)[:, 0]
    torch.testing.assert_close(info_nce(positive, negative), expected)


def test_pirl_nce_is_equations_3_and_4_of_the_paper() -> None:
    memory, query, noise, temperature = features(3, 6), features(3, 6, seed=1), features(7, 6, seed=2), 0.4

    def h(row: Tensor, transformed: Tensor) -> float:
        similar = math.exp(cosine(row, transformed) / temperature)
        return similar / (similar + sum(math.exp(cosine(transformed, other) / temperature) for other in noise))

    positive = (unit(memory) * unit(query)).sum(1) / temperature
    loss = pirl_nce(positive, unit(query) @ unit(noise).T / temperature)
    for i in range(3):
        expected = -math.log(h(memory[i], query[i])) - sum(math.log(1 - h(other, query[i])) for other in noise)
        assert float(loss[i]) == pytest.approx(expected, rel=1e-5)


def test_pirl_nce_by_hand() -> None:
    # e(positive) = 3, e(negatives) = 1, 2, Z = 3: -log(3 / 6) - log(3 / 4) - log(3 / 5)
    loss = pirl_nce(torch.tensor([math.log(3)]), torch.tensor([[0.0, math.log(2)]]))
    assert float(loss) == pytest.approx(-math.log(1 / 2) - math.log(3 / 4) - math.log(3 / 5), rel=1e-5)


@pytest.mark.parametrize("loss", [info_nce, pirl_nce])
def test_every_negative_is_pushed_away_and_the_positive_pulled(loss) -> None:  # type: ignore[no-untyped-def]
    positive, negative = features(4).requires_grad_(), (3 * features(4, 9, seed=1)).requires_grad_()
    loss(positive, negative).sum().backward()
    assert (positive.grad < 0).all()
    assert (negative.grad > 0).all()


@pytest.mark.parametrize("loss", [info_nce, pirl_nce])
def test_extreme_logits_stay_finite(loss) -> None:  # type: ignore[no-untyped-def]
    positive = torch.tensor([1e3, -1e3, 0.0], requires_grad=True)
    negative = torch.tensor([[-1e3, -1e4], [1e3, 1e3], [-1e4, -1e4]], requires_grad=True)
    value = loss(positive, negative)
    value.sum().backward()
    assert value.isfinite().all()
    assert positive.grad.isfinite().all()
    assert negative.grad.isfinite().all()


def test_losses_are_the_same_under_autocast() -> None:
    first, second = features(8, 16), features(8, 16, seed=1)
    exact = nt_xent(first, second, 0.07)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(nt_xent(first, second, 0.07), exact)


# ---- frames of clips

CLIP = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
SOURCE = torch.tensor([4, 4, 4, 4, 4, 7, 7, 7, 2])
"""Clips 0 and 1 are cut from the same video; clip 3 shows one frame, which has no other to be compared with."""


def test_clip_nt_xent_is_the_mean_over_the_pairs_of_a_clip() -> None:
    vectors, temperature = features(9, 6), 0.3
    losses, hits, levels = [], [], []
    for i in range(9):
        negatives = [k for k in range(9) if SOURCE[k] != SOURCE[i]]
        below = sum(math.exp(cosine(vectors[i], vectors[k]) / temperature) for k in negatives)
        for j in range(9):
            if j != i and CLIP[j] == CLIP[i]:
                own = math.exp(cosine(vectors[i], vectors[j]) / temperature)
                losses.append(-math.log(own / (own + below)))
                hits.append(all(cosine(vectors[i], vectors[j]) > cosine(vectors[i], vectors[k]) for k in negatives))
                levels.append(math.log(1 + len(negatives)))
    assert len(losses) == 6 + 2 + 6
    loss, accuracy, chance = clip_nt_xent(vectors, CLIP, SOURCE, temperature)
    assert float(loss) == pytest.approx(sum(losses) / 14, rel=1e-5)
    assert float(accuracy) == pytest.approx(sum(hits) / 14)
    assert float(chance) == pytest.approx(sum(levels) / 14)
    assert 0 < sum(hits) < 14


def test_with_two_frames_a_clip_of_its_own_source_it_is_nt_xent() -> None:
    first, second, clip = features(5, 8), features(5, 8, seed=1), torch.arange(5).repeat(2)
    loss, accuracy, chance = clip_nt_xent(torch.cat([first, second]), clip, clip + 3, 0.3)
    torch.testing.assert_close(loss, nt_xent(first, second, 0.3))
    assert float(accuracy) == float(nt_xent_accuracy(first, second))
    assert float(chance) == pytest.approx(nt_xent_chance(5))


def test_clip_nt_xent_by_hand() -> None:
    """Three frames of e1, of one clip, and two of e2: pairs of the first have 2 negatives, of the second 3."""
    vectors = torch.eye(2)[[0, 0, 0, 1, 1]]
    clip = torch.tensor([0, 0, 0, 1, 1])
    loss, accuracy, chance = clip_nt_xent(vectors, clip, clip, 0.5)
    expected = (6 * math.log(1 + 2 * math.exp(-2)) + 2 * math.log(1 + 3 * math.exp(-2))) / 8
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    assert float(accuracy) == 1
    assert float(chance) == pytest.approx((6 * math.log(3) + 2 * math.log(4)) / 8)
    loss, accuracy, chance = clip_nt_xent(torch.ones(5, 2), clip, clip, 0.5)
    assert float(loss) == pytest.approx(float(chance), rel=1e-5)
    assert float(accuracy) == 0


@pytest.mark.parametrize("same_video", [True, False])
def test_another_clip_of_a_video_is_neither_pulled_nor_pushed(same_video: bool) -> None:
    """Of clip 0 there are two frames; of clip 1, maybe of its video, and of clip 2, of another, there is one each."""
    vectors = features(4, 6).requires_grad_()
    source = torch.tensor([5, 5, 5 if same_video else 6, 7])
    clip_nt_xent(vectors, torch.tensor([0, 0, 1, 2]), source, 0.5)[0].backward()
    moved = (vectors.grad.abs().amax(1) > 1e-6).tolist()
    assert moved == [True, True, not same_video, True]


def test_clip_nt_xent_knows_no_order_and_stays_finite_without_negatives() -> None:
    vectors = features(9, 6).requires_grad_()
    order = torch.randperm(9, generator=torch.Generator().manual_seed(2))
    for value, other in zip(
        clip_nt_xent(vectors, CLIP, SOURCE, 0.5),
        clip_nt_xent(vectors[order], CLIP[order], SOURCE[order], 0.5),
        strict=True,
    ):
        torch.testing.assert_close(value, other)
    loss, accuracy, chance = clip_nt_xent(vectors, CLIP, torch.zeros_like(SOURCE), 0.5)
    loss.backward()
    assert (float(loss.detach()), float(accuracy), float(chance)) == (0, 0, 0)
    assert torch.equal(vectors.grad, torch.zeros_like(vectors))


def test_info_nce_in_a_batch_is_that_of_each_query_against_all_keys() -> None:
    queries, keys = (unit(torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))) for seed in (1, 2))
    loss, accuracy = info_nce_in_batch(queries, keys, 0.3)
    logits = queries @ keys.T / 0.3
    others = [info_nce(logits[row, row, None], logits[row, None, torch.arange(5) != row]) for row in range(5)]
    torch.testing.assert_close(loss, torch.cat(others).mean())
    assert float(accuracy) == pytest.approx(sum(int(logits[row].argmax()) == row for row in range(5)) / 5)
    same = keys[:1].expand(5, -1)
    assert float(info_nce_in_batch(queries, same, 0.3)[0]) == pytest.approx(info_nce_chance(4))
