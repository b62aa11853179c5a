"""Assignments to prototypes: Sinkhorn-Knopp as the authors write it, but without overflow; swapped targets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Generator, Tensor
from torch.nn import functional

from ssl_models.losses.assignment import cross_entropy, sharpened, sinkhorn, swapped

torch.set_num_threads(1)


def cosines(samples: int = 12, prototypes: int = 5, seed: int = 0) -> Tensor:
    """Scores (B, K) of random unit vectors."""
    generator = Generator().manual_seed(seed)
    first, second = (
        functional.normalize(torch.randn(rows, 8, generator=generator), dim=1) for rows in (samples, prototypes)
    )
    return first @ second.T


def distributions(samples: int = 6, prototypes: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(samples, prototypes, generator=Generator().manual_seed(seed)).softmax(1)


def in_exponentials(scores: Tensor, sharpness: float, iterations: int) -> list[list[float]]:
    """The authors' algorithm, number by number in float64: shares of prototypes are made 1 / K, of samples 1 / B."""
    table = [[math.exp(score / sharpness) for score in row] for row in scores.tolist()]
    samples, prototypes = len(table), len(table[0])
    whole = sum(map(sum, table))
    table = [[value / whole for value in row] for row in table]
    for _ in range(iterations):
        shares = [sum(row[at] for row in table) for at in range(prototypes)]
        table = [[row[at] / shares[at] / prototypes for at in range(prototypes)] for row in table]
        table = [[value / sum(row) / samples for value in row] for row in table]
    return [[value * samples for value in row] for row in table]


def test_one_iteration_by_hand() -> None:
    scores = 0.5 * torch.tensor([[3.0, 1.0], [1.0, 1.0]]).log()
    # columns: [3, 1] / 4 and [1, 1] / 2; rows: [3/4, 1/2] of 5/4 and [1/4, 1/2] of 3/4
    expected = torch.tensor([[0.6, 0.4], [1 / 3, 2 / 3]])
    torch.testing.assert_close(sinkhorn(scores, 0.5, iterations=1), expected)


@pytest.mark.parametrize("iterations", [1, 2, 3, 10])
@pytest.mark.parametrize("sharpness", [0.05, 0.5])
def test_codes_are_those_of_the_authors_algorithm(sharpness: float, iterations: int) -> None:
    scores = cosines()
    expected = torch.tensor(in_exponentials(scores, sharpness, iterations))
    torch.testing.assert_close(sinkhorn(scores, sharpness, iterations), expected, rtol=1e-4, atol=1e-6)


def test_three_iterations_are_the_default() -> None:
    assert torch.equal(sinkhorn(cosines(), 0.05), sinkhorn(cosines(), 0.05, 3))


@pytest.mark.parametrize("iterations", range(1, 6))
def test_a_sample_s_code_sums_to_one_after_each_iteration(iterations: int) -> None:
    codes = sinkhorn(cosines(), 0.05, iterations)
    assert float(codes.min()) >= 0
    torch.testing.assert_close(codes.sum(1), torch.ones(12), rtol=0, atol=2e-6)


@pytest.mark.parametrize(("samples", "prototypes"), [(12, 5), (4, 10)])
def test_prototypes_come_to_equal_shares_in_the_limit(samples: int, prototypes: int) -> None:
    scores = cosines(samples, prototypes)
    away = [
        float((sinkhorn(scores, 0.2, iterations).sum(0) - samples / prototypes).abs().max())
        for iterations in (1, 10, 300)
    ]
    assert away[0] > 0.02
    assert away[0] > 3 * away[1]
    assert away[2] < 1e-4


def test_a_sharpness_of_a_thousandth_overflows_nothing() -> None:
    scores = 0.5 * cosines()
    assert (scores / 0.001).exp().isinf().any(), "the exponentials of these scores would not overflow"
    codes = sinkhorn(scores, 0.001, 3)
    torch.testing.assert_close(codes.sum(1), torch.ones(12), rtol=0, atol=1e-5)
    torch.testing.assert_close(codes, torch.tensor(in_exponentials(scores, 0.001, 3)), rtol=0, atol=1e-3)
    assert sinkhorn(cosines(), 1e-6).isfinite().all()


def test_scores_added_to_all_or_to_a_prototype_change_nothing() -> None:
    scores = cosines()
    codes = sinkhorn(scores, 0.1)
    torch.testing.assert_close(sinkhorn(scores + 3.0, 0.1), codes, rtol=1e-3, atol=1e-6)
    favoured = scores.clone()
    favoured[:, 2] += 0.7
    assert (favoured.argmax(1) == 2).sum() > (scores.argmax(1) == 2).sum()
    torch.testing.assert_close(sinkhorn(favoured, 0.1), codes, rtol=1e-3, atol=1e-6)


def test_samples_in_another_order_have_the_same_codes() -> None:
    scores, order = cosines(), torch.randperm(12, generator=Generator().manual_seed(3))
    torch.testing.assert_close(sinkhorn(scores[order], 0.05), sinkhorn(scores, 0.05)[order])


def test_equal_scores_are_shared_equally_and_a_large_sharpness_makes_them_equal() -> None:
    torch.testing.assert_close(sinkhorn(torch.full((6, 4), 0.3), 0.05), torch.full((6, 4), 0.25))
    torch.testing.assert_close(sinkhorn(cosines(), 1e4), torch.full((12, 5), 0.2), rtol=0, atol=1e-4)


def test_a_small_sharpness_gives_nearly_one_prototype_a_sample() -> None:
    strongest = [float(sinkhorn(cosines(), sharpness).amax(1).mean()) for sharpness in (1.0, 0.1, 0.001)]
    assert strongest == sorted(strongest)
    assert strongest[-1] > 0.95


def test_codes_carry_no_gradient_and_are_float32() -> None:
    scores = cosines().requires_grad_()
    assert not sinkhorn(scores, 0.05).requires_grad
    rough = cosines().bfloat16()
    assert torch.equal(sinkhorn(rough, 0.05), sinkhorn(rough.float(), 0.05))


def test_the_cross_entropy_by_hand() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])  # softmax: 1/4 and 3/4; 1/2 and 1/2
    target = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    first = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert float(cross_entropy(target, logits)) == pytest.approx((first + math.log(2)) / 2, rel=1e-6)


def test_the_cross_entropy_of_one_class_is_the_usual_one_and_least_where_both_agree() -> None:
    logits, classes = cosines(), torch.arange(12) % 5
    named = functional.one_hot(classes, 5).float()
    torch.testing.assert_close(cross_entropy(named, logits), functional.cross_entropy(logits, classes))
    target = logits.softmax(1)
    torch.testing.assert_close(cross_entropy(target, logits + 7.0), torch.special.entr(target).sum(1).mean())
    assert cross_entropy(target, logits) < cross_entropy(target, 1.5 * logits)
    assert cross_entropy(target, logits) < cross_entropy(target, 0.5 * logits)


def in_loops(targets: Sequence[Tensor], logits: Sequence[Tensor]) -> float:
    """Each target against each view but its own, sample by sample."""
    losses = []
    for place, target in enumerate(targets):
        for at, view in enumerate(logits):
            if at == place:
                continue
            for code, scores in zip(target.tolist(), view.tolist(), strict=True):
                normaliser = math.log(sum(math.exp(score) for score in scores))
                losses.append(-sum(share * (score - normaliser) for share, score in zip(code, scores, strict=True)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("targets", "views"), [(2, 2), (2, 5), (1, 3), (3, 3)])
def test_the_swapped_loss_by_a_double_loop(targets: int, views: int) -> None:
    codes = [distributions(seed=seed) for seed in range(targets)]
    logits = [cosines(6, 4, seed=10 + seed) for seed in range(views)]
    assert float(swapped(codes, logits)) == pytest.approx(in_loops(codes, logits), rel=1e-5)


def test_a_view_is_not_compared_with_its_own_target() -> None:
    logits = [cosines(6, 4, seed=seed).requires_grad_() for seed in range(3)]
    swapped([distributions()], logits).backward()
    assert logits[0].grad is None
    assert all(view.grad is not None and float(view.grad.abs().max()) > 0 for view in logits[1:])


def test_a_teacher_s_distributions_by_hand() -> None:
    scores, centre = torch.tensor([[1.0, 2.0], [5.0, 0.0]]), torch.tensor([1.0, 2.0 - 0.5 * math.log(3)])
    # (0, log(3) / 2) / 0.5 -> 1 : 3, and (4, log(3) / 2 - 2) / 0.5 -> exp(8) : 3 exp(-4)
    second = math.exp(8) / (math.exp(8) + 3 * math.exp(-4))
    expected = torch.tensor([[0.25, 0.75], [second, 1 - second]])
    torch.testing.assert_close(sharpened(scores, centre, 0.5), expected)


def test_a_centre_takes_away_what_all_samples_share_and_the_temperature_sharpens() -> None:
    scores, shared = cosines(), torch.tensor([0.0, 5.0, 0.0, -2.0, 0.0])
    torch.testing.assert_close(sharpened(scores + shared, shared, 0.1), sharpened(scores, 0 * shared, 0.1))
    torch.testing.assert_close(sharpened(shared.expand(3, 5), shared, 0.1), torch.full((3, 5), 0.2))
    strongest = [float(sharpened(scores, 0 * shared, each).amax(1).mean()) for each in (1.0, 0.1, 0.01)]
    assert strongest == sorted(strongest)
    assert strongest[-1] > 0.95
