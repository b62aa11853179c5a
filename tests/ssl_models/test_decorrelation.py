"""Losses without negatives: by hand, against loops written from the papers' equations, and where they are least."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ssl_models.losses.decorrelation import EPSILON, barlow_twins, cosine, cross_correlation, vicreg

torch.set_num_threads(1)
NORM = 1e-5
"""The epsilon of a batch normalisation, which cross_correlation divides by."""
SMALL = 1 - math.sqrt(EPSILON)
"""VICReg's variance term of vectors that are all the same, 0.99."""
LOSSES = {
    "cosine": lambda one, other: (cosine(one, other),),
    "barlow_twins": lambda one, other: barlow_twins(one, other, 0.1),
    "vicreg": vicreg,
}
SIGNS = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
"""Two numbers that have nothing to do with each other over four samples; both have mean 0 and variance 1."""


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def white(samples: int, dim: int, seed: int = 0) -> Tensor:
    """(B, D) whose numbers have mean 0 and variance 1 over the batch, and no correlations."""
    centred = features(samples, dim, seed=seed).double()
    orthogonal = torch.linalg.qr(centred - centred.mean(0)).Q
    return (orthogonal * math.sqrt(samples)).float()


def values(terms: tuple[Tensor, ...]) -> list[float]:
    return [float(term) for term in terms]


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def columns(vectors: Tensor) -> list[list[float]]:
    """Each number's values over the batch."""
    return vectors.double().T.tolist()


def covariance(one: list[float], other: list[float], divisor: int) -> float:
    first, second = mean(one), mean(other)
    return sum((a - first) * (b - second) for a, b in zip(one, other, strict=True)) / divisor


def test_cosine_by_hand() -> None:
    first = torch.tensor([[3.0, 4.0], [1.0, 0.0], [2.0, 0.0]])
    second = torch.tensor([[4.0, 3.0], [0.0, 5.0], [-1.0, 0.0]])
    assert float(cosine(first, second)) == pytest.approx((24 / 25 + 0 - 1) / 3)


def test_cosine_is_the_mean_over_the_samples_and_knows_no_length() -> None:
    first, second = features(5, 8), features(5, 8, seed=1)
    pairs = zip(first.double(), second.double(), strict=True)
    expected = mean([float(one @ other / one.norm() / other.norm()) for one, other in pairs])
    assert float(cosine(first, second)) == pytest.approx(expected, rel=1e-5)
    scales = torch.tensor([0.1, 1, 2, 30, 400])[:, None]
    torch.testing.assert_close(cosine(scales * first, second), cosine(first, second))


def test_cosine_of_a_vector_without_length_is_0_and_its_gradient_finite() -> None:
    nothing = torch.zeros(3, 4, requires_grad=True)
    found = cosine(nothing, features(3, 4))
    found.backward()
    assert float(found.detach()) == 0
    assert nothing.grad is not None
    assert nothing.grad.isfinite().all()


def test_cross_correlation_by_hand() -> None:
    second = torch.stack([SIGNS[:, 0], -SIGNS[:, 0]], dim=1)
    found = cross_correlation(5 + 2 * SIGNS, second)
    expected = torch.tensor([[1.0, -1.0], [0.0, 0.0]])  # a row for each number of the first, which the second repeats
    torch.testing.assert_close(found, expected, rtol=0, atol=2 * NORM)


def test_cross_correlation_is_equation_2_of_barlow_twins() -> None:
    first, second = 3 + 2 * features(7, 4), features(7, 4, seed=1)
    found = cross_correlation(first, second)
    for i, one in enumerate(columns(first)):
        for j, other in enumerate(columns(second)):
            length = math.sqrt(covariance(one, one, 7) + NORM) * math.sqrt(covariance(other, other, 7) + NORM)
            assert float(found[i, j]) == pytest.approx(covariance(one, other, 7) / length, rel=1e-4, abs=1e-5)


def test_barlow_twins_is_equation_1() -> None:
    first, second = features(7, 4), features(7, 4, seed=1)
    matrix = cross_correlation(first, second).double().tolist()
    diagonal = sum((1 - matrix[i][i]) ** 2 for i in range(4))
    beside = sum(matrix[i][j] ** 2 for i in range(4) for j in range(4) if i != j)
    assert values(barlow_twins(first, second, 0.3)) == pytest.approx([diagonal, 0.3 * beside], rel=1e-5)


def test_barlow_twins_by_hand() -> None:
    second = torch.stack([SIGNS[:, 0], -SIGNS[:, 0]], dim=1)  # the correlation is [[1, -1], [0, 0]]
    assert values(barlow_twins(SIGNS, second, 0.5)) == pytest.approx([1, 0.5], abs=1e-4)
    assert values(barlow_twins(SIGNS, -SIGNS, 0.5)) == pytest.approx([2 * 4, 0], abs=1e-3)
    assert values(barlow_twins(SIGNS, SIGNS.flip(1), 0.5)) == pytest.approx([2, 0.5 * 2], abs=1e-4)


@pytest.mark.parametrize("dim", [2, 16, 200])
def test_a_correlation_that_is_the_identity_costs_nothing(dim: int) -> None:
    vectors = white(256, dim)
    torch.testing.assert_close(cross_correlation(vectors, vectors), torch.eye(dim), rtol=0, atol=2e-5)
    diagonal, beside = values(barlow_twins(vectors, vectors, 1.0))
    assert 0 <= diagonal < dim * 1e-9  # a variance of 1 becomes 1 / (1 + 1e-5)
    assert 0 <= beside < dim * dim * 1e-12


def test_collapsed_vectors_cost_barlow_twins_a_1_for_each_number_and_give_finite_gradients() -> None:
    first, second = (torch.full((6, 5), 3.0, requires_grad=True) for _ in range(2))
    diagonal, beside = barlow_twins(first, second, 0.1)
    (diagonal + beside).backward()
    assert values((diagonal.detach(), beside.detach())) == pytest.approx([5, 0], abs=1e-6)
    for view in (first, second):
        assert view.grad is not None
        assert view.grad.isfinite().all()


def test_barlow_twins_knows_neither_the_mean_nor_the_scale_of_a_number() -> None:
    first, second = features(9, 5), features(9, 5, seed=1)
    scale, shift = torch.tensor([0.5, 1, 2, 3, 40]), torch.tensor([-3.0, 0, 1, 10, 100])
    expected = barlow_twins(first, second, 0.1)
    torch.testing.assert_close(barlow_twins(first * scale + shift, second, 0.1), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(barlow_twins(second, first, 0.1), expected)


def test_vicreg_by_hand() -> None:
    spread = 4 / 3 + EPSILON  # of SIGNS, with the divisor B - 1, and the deviation is over 1
    assert math.sqrt(spread) > 1
    assert values(vicreg(SIGNS, SIGNS)) == pytest.approx([0, 0, 0], abs=1e-6)
    assert values(vicreg(SIGNS, SIGNS + 2)) == pytest.approx([4, 0, 0], abs=1e-6)
    halved = 1 - math.sqrt(1 / 3 + EPSILON)
    assert values(vicreg(SIGNS, SIGNS / 2)) == pytest.approx([1 / 4, halved / 2, 0], rel=1e-5)
    same = SIGNS[:, :1].expand(4, 2)  # both numbers say the same: two covariances of 4 / 3, in each view
    assert values(vicreg(same, same)) == pytest.approx([0, 0, 2 * 2 * (4 / 3) ** 2 / 2], rel=1e-5)


def test_vicreg_is_equations_1_to_5_of_the_paper() -> None:
    """But for the divisors that the docstring names: 4 numbers for the distance, and 2 views for the variance."""
    first, second = 0.7 * features(7, 4), 0.6 * features(7, 4, seed=1)
    pairs = list(zip(first.double().tolist(), second.double().tolist(), strict=True))
    distance = mean([sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for one, other in pairs])
    hinges, squares = [], []
    for view in (columns(first), columns(second)):
        hinges += [mean([max(0.0, 1 - math.sqrt(covariance(one, one, 6) + EPSILON)) for one in view])]
        off = [covariance(view[i], view[j], 6) ** 2 for i in range(4) for j in range(4) if i != j]
        squares += [sum(off) / 4]
    assert min(hinges) > 0
    assert values(vicreg(first, second)) == pytest.approx([distance / 4, sum(hinges) / 2, sum(squares)], rel=1e-5)


def test_numbers_that_vary_enough_cost_vicreg_nothing_and_more_of_it_is_worth_nothing() -> None:
    vectors = 1.01 * white(64, 8)
    for scale in (1.0, 3.0):
        assert values(vicreg(scale * vectors, scale * vectors)) == pytest.approx([0, 0, 0], abs=1e-6)
    assert values(vicreg(0.5 * vectors, 0.5 * vectors))[1] > 0.4


def test_what_lies_beside_the_diagonal_is_not_lost_next_to_a_far_larger_diagonal() -> None:
    mixed = torch.stack([1000 * SIGNS[:, 0], SIGNS[:, 1] + 0.001 * SIGNS[:, 0]], dim=1)
    assert values(vicreg(mixed, mixed))[2] == pytest.approx(2 * 2 * (4 / 3) ** 2 / 2, rel=1e-2)  # variances up to 1e6
    assert values(barlow_twins(mixed, mixed, 1.0))[1] == pytest.approx(2 * 0.001**2, rel=1e-2)
    nearly = torch.stack([SIGNS[:, 0], SIGNS[:, 1] + 0.0001 * SIGNS[:, 0]], dim=1)
    assert values(barlow_twins(nearly, nearly, 1.0))[1] == pytest.approx(2 * 0.0001**2, rel=1e-2)


def test_collapsed_vectors_cost_vicreg_its_variance_and_are_left_at_a_touch() -> None:
    same = torch.full((6, 5), 3.0)
    assert values(vicreg(same, same)) == pytest.approx([0, SMALL, 0], rel=1e-5)
    touched = (same + 1e-4 * features(6, 5)).requires_grad_()
    vicreg(touched, touched)[1].backward()
    assert touched.grad is not None
    assert float((touched.grad * (touched.detach() - touched.detach().mean(0))).sum()) < 0  # a step spreads them


def test_vicreg_knows_neither_the_mean_of_both_views_nor_which_is_first() -> None:
    first, second = features(9, 5), features(9, 5, seed=1)
    expected = vicreg(first, second)
    torch.testing.assert_close(vicreg(first + 3, second + 3), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vicreg(second, first), expected)
    assert values(vicreg(2 * first, 2 * second))[0] == pytest.approx(4 * float(expected[0]), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_knows_the_order_of_samples_or_numbers(name: str) -> None:
    first, second = features(9, 5), features(9, 5, seed=1)
    rows, numbers = torch.randperm(9), torch.randperm(5)
    shuffled = LOSSES[name](first[rows][:, numbers], second[rows][:, numbers])
    torch.testing.assert_close(shuffled, LOSSES[name](first, second), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_go_to_both_views(name: str) -> None:
    first, second = features(9, 5).requires_grad_(), features(9, 5, seed=1).requires_grad_()
    torch.stack(LOSSES[name](first, second)).sum().backward()
    for view in (first, second):
        assert view.grad is not None
        assert float(view.grad.abs().max()) > 0


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_are_worked_out_in_float32_under_autocast(name: str, dtype: torch.dtype) -> None:
    loss: Callable[[Tensor, Tensor], tuple[Tensor, ...]] = LOSSES[name]
    first, second = (features(40, 16, seed=seed).to(dtype) for seed in range(2))
    exact = loss(first.float(), second.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(first, second)
    assert all(term.dtype == torch.float32 for term in found)
    assert values(found) == values(exact)
