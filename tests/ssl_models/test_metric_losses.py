"""Margin and N-pair losses against values worked by hand, and against loops written from the papers' equations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ssl_models.losses.metric import (
    agreement,
    cosine_energy,
    euclidean_distance,
    margin_loss,
    margin_loss_chance,
    n_pair,
    n_pair_chance,
    n_pair_penalty,
    triplet_loss,
)

torch.set_num_threads(1)


def features(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_agreement_is_one_minus_the_ratio_of_squared_distances_to_partners_and_to_strangers() -> None:
    first, second = features(5, 3), features(5, 3, seed=1)
    x, y = first / first.norm(dim=1, keepdim=True), second / second.norm(dim=1, keepdim=True)
    own = [float((x[i] - y[i]).square().sum()) for i in range(5)]
    others = [float((x[i] - y[j]).square().sum()) for i in range(5) for j in range(5) if i != j]
    assert float(agreement(first, second)) == pytest.approx(1 - (sum(own) / 5) / (sum(others) / 20), abs=1e-5)


def test_agreement_is_one_of_equal_rows_and_zero_where_nothing_can_be_told() -> None:
    rows = features(6, 4)
    assert float(agreement(rows, 3 * rows)) == pytest.approx(1, abs=1e-5)
    assert float(agreement(rows, rows.roll(1, 0))) < 0
    assert float(agreement(torch.ones(6, 4), torch.ones(6, 4))) == 0
    assert float(agreement(rows[:1], rows[:1])) == 0


def test_distances_and_energies_by_hand() -> None:
    first, second = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[0.0, 4.0], [-1.0, 0.0], [3.0, 0.0]])
    assert euclidean_distance(first, second).flatten().tolist() == pytest.approx([5, 4, 0, 2, 5**0.5, 13**0.5])
    assert cosine_energy(first, second).flatten().tolist() == pytest.approx([1, 2, 0, 0, 1, 1], abs=1e-6)


def test_distances_and_energies_are_those_of_each_pair() -> None:
    first, second = features(4, 6), features(5, 6, seed=1)
    distances, energies = euclidean_distance(first, second), cosine_energy(first, second)
    assert distances.shape == energies.shape == (4, 5)
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            assert float(distances[i, j]) == pytest.approx(float((one - other).norm()), rel=1e-5)
            cosine = float(one @ other / (one.norm() * other.norm()))
            assert float(energies[i, j]) == pytest.approx(1 - cosine, rel=1e-5, abs=1e-6)


def test_a_small_distance_of_long_vectors_is_exact() -> None:
    one = 100 * features(30, 8)
    other = one.clone()
    other[:, 0] += 0.01
    distance = euclidean_distance(one, other).diagonal()
    torch.testing.assert_close(distance, (other - one)[:, 0])


def test_triplets_by_hand() -> None:
    """Far enough apart costs nothing, equal distances cost the margin, and the wrong order costs more."""
    similar, dissimilar = torch.tensor([0.2, 0.4, 0.9, 0.3]), torch.tensor([0.8, 0.4, 0.6, 0.5])
    assert triplet_loss(similar, dissimilar, 0.5).tolist() == pytest.approx([0, 0.5, 0.8, 0.3])


def test_equal_vectors_have_a_finite_gradient() -> None:
    for measure in (euclidean_distance, cosine_energy):
        vectors = torch.ones(3, 4, requires_grad=True)
        similar, dissimilar = margin_loss(measure(vectors, vectors), measure(vectors, vectors), 1.0)
        (similar.sum() + dissimilar.sum()).backward()
        assert vectors.grad is not None
        assert vectors.grad.isfinite().all()


def test_lengths_cheat_a_euclidean_distance_and_no_cosine() -> None:
    first, second = features(6, 8), features(6, 8, seed=1)
    for scale, half in ((1e-4, 0), (1e4, 1)):  # short: all are near; long: all are far
        cheated = margin_loss(*[euclidean_distance(scale * first, scale * second)] * 2, margin=1.0)[half]
        assert float(cheated.max()) < 1e-6
        torch.testing.assert_close(cosine_energy(scale * first, scale * second), cosine_energy(first, second))


def test_the_margin_loss_by_hand() -> None:
    similar, dissimilar = margin_loss(torch.tensor([0.0, 3.0]), torch.tensor([0.0, 0.4, 1.0, 5.0]), 1.0)
    assert similar.tolist() == pytest.approx([0, 4.5])
    assert dissimilar.tolist() == pytest.approx([0.5, 0.18, 0, 0])


def test_the_margin_loss_is_equation_4_of_the_paper() -> None:
    distance, margin = features(20).abs(), 0.8

    def equation_4(y: int, d: float) -> float:
        return (1 - y) * 0.5 * d**2 + y * 0.5 * max(0, margin - d) ** 2

    similar, dissimilar = margin_loss(distance, distance, margin)
    assert similar.tolist() == pytest.approx([equation_4(0, d) for d in distance.tolist()], abs=1e-7)
    assert dissimilar.tolist() == pytest.approx([equation_4(1, d) for d in distance.tolist()], abs=1e-7)
    assert 0 < int((dissimilar > 0).sum()) < 20


def test_similar_pairs_are_pulled_and_dissimilar_ones_pushed_up_to_the_margin() -> None:
    similar, dissimilar = torch.tensor([0.3, 2.0], requires_grad=True), torch.tensor([0.3, 2.0], requires_grad=True)
    sum(term.sum() for term in margin_loss(similar, dissimilar, 1.0)).backward()  # type: ignore[union-attr]
    assert similar.grad.tolist() == pytest.approx([0.3, 2.0])  # type: ignore[union-attr]
    assert dissimilar.grad.tolist() == pytest.approx([-0.7, 0.0])  # type: ignore[union-attr]


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_chance_is_the_least_that_equal_distances_cost(margin: float) -> None:
    distance = torch.linspace(0, 2 * margin, 201)
    total = sum(margin_loss(distance, distance, margin))
    assert float(total.min()) == pytest.approx(margin_loss_chance(margin))  # type: ignore[union-attr]
    assert float(distance[total.argmin()]) == pytest.approx(margin / 2)  # type: ignore[union-attr]
    assert float(total[0]) == pytest.approx(2 * margin_loss_chance(margin))  # type: ignore[index]


def test_the_n_pair_loss_by_hand() -> None:
    # f_1 = (2, 0), f_2 = (0, 1), f_1+ = (3, 1), f_2+ = (1, 2): products (6, 2) and (1, 2).
    anchor, positive = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[3.0, 1.0], [1.0, 2.0]])
    expected = (math.log(1 + math.exp(2 - 6)) + math.log(1 + math.exp(1 - 2))) / 2
    assert float(n_pair(anchor, positive)) == pytest.approx(expected)


def test_the_n_pair_loss_is_the_equation_of_the_paper() -> None:
    f, f_plus = features(6, 5), features(6, 5, seed=1)
    expected = 0.0
    for i in range(6):
        others = sum(math.exp(float(f[i] @ f_plus[j] - f[i] @ f_plus[i])) for j in range(6) if j != i)
        expected += math.log(1 + others) / 6
    assert float(n_pair(f, f_plus)) == pytest.approx(expected, rel=1e-5)


def test_the_n_pair_loss_knows_lengths_but_no_order() -> None:
    anchor, positive = features(6, 4), features(6, 4, seed=1)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(n_pair(anchor[order], positive[order]), n_pair(anchor, positive))
    directions = torch.nn.functional.normalize(anchor, dim=1)
    short, long = n_pair(directions, directions), n_pair(3 * directions, 3 * directions)
    assert long < short < n_pair(directions, directions.roll(1, 0))


def test_equal_products_cost_chance() -> None:
    assert float(n_pair(torch.ones(7, 4), torch.ones(7, 4))) == pytest.approx(n_pair_chance(7))
    assert float(n_pair(torch.zeros(7, 4), features(7, 4))) == pytest.approx(n_pair_chance(7))
    assert n_pair_chance(7) == pytest.approx(math.log(7))


def test_extreme_products_stay_finite() -> None:
    anchor = (1e3 * features(4, 3)).requires_grad_()
    loss = n_pair(anchor, 1e3 * features(4, 3, seed=1))
    loss.backward()
    assert loss.isfinite()
    assert anchor.grad.isfinite().all()  # type: ignore[union-attr]


def test_the_penalty_is_half_the_mean_squared_length_of_all_vectors() -> None:
    anchor, positive = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[0.0, 2.0], [1.0, 0.0]])
    assert float(n_pair_penalty(anchor, positive)) == pytest.approx((25 + 0 + 4 + 1) / 4 / 2)
    torch.testing.assert_close(n_pair_penalty(positive, anchor), n_pair_penalty(anchor, positive))


@pytest.mark.parametrize("function", [euclidean_distance, cosine_energy, n_pair, n_pair_penalty])
def test_all_are_the_same_under_autocast(function: Any) -> None:
    first, second = features(8, 16), features(8, 16, seed=1)
    exact = function(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = function(first, second)
        halves = function(first.bfloat16(), second.bfloat16())
    assert rounded.dtype == halves.dtype == torch.float32
    torch.testing.assert_close(rounded, exact)
