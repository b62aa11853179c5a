"""Rank correlation over families of encoders: values by hand, enumerations, and a naive loop for the fast forms."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from tasks.studies import association
from tasks.studies.association import associate

FOUR = list("abcd")
GENERATOR = np.random.default_rng(5)
X, Y = GENERATOR.standard_normal((2, 12)).round(1)  # with ties
FAMILIES = list("aabbccdeeffg")


def test_rho_and_tau_by_hand() -> None:
    """Ranks 1 2 3 4 against 1 2 4 3: rho is 1 - 6 * 2 / (4 * 15), and of six pairs five agree: tau is (5 - 1) / 6."""
    found = associate([10, 20, 30, 40], [0.1, 0.2, 0.4, 0.3], FOUR)
    assert found.rho == pytest.approx(0.8)
    assert found.tau == pytest.approx(2 / 3)
    assert (found.encoders, found.families) == (4, 4)


def test_ties_have_their_mean_rank() -> None:
    assert associate(X, Y, FAMILIES).rho == pytest.approx(spearmanr(X, Y).statistic)


def test_p_is_exact_for_few() -> None:
    """Of the 24 orders of four, one has rho 1 and three 0.8: the upper tail from 0.8 on is 4/24, twice that 1/3."""
    assert associate([1, 2, 3, 4], [1, 2, 4, 3], FOUR).p == pytest.approx(8 / 24)
    assert associate([1, 2, 3, 4], [1, 2, 3, 4], FOUR).p == pytest.approx(2 / 24)
    assert associate([1, 2, 3, 4], [4, 3, 2, 1], FOUR).p == pytest.approx(2 / 24)
    every = [spearmanr([1, 2, 3, 4], order).statistic for order in itertools.permutations([1, 2, 4, 3])]
    assert associate([1, 2, 3, 4], [1, 2, 4, 3], FOUR).chance == pytest.approx(
        tuple(np.quantile(every, (0.025, 0.975)))
    )


def test_families_of_equal_size_change_places_as_wholes() -> None:
    """Two pairs and two singles: 2! * 2! orders, in each of which a pair stays together and in order."""
    blocks = [np.array([0, 1]), np.array([2]), np.array([3, 4]), np.array([5])]
    found = association.permutations(blocks, np.random.default_rng(0))
    expected = {(0, 1, 2, 3, 4, 5), (3, 4, 2, 0, 1, 5), (0, 1, 5, 3, 4, 2), (3, 4, 5, 0, 1, 2)}
    assert {tuple(order) for order in found.tolist()} == expected
    assert len(found) == 4


def test_drawn_orders_keep_families_together() -> None:
    blocks = [np.array([2 * place, 2 * place + 1]) for place in range(9)]
    found = association.permutations(blocks, np.random.default_rng(0))
    assert found.shape == (association.DRAWS, 18)
    assert (np.sort(found, axis=1) == np.arange(18)).all()
    assert (found[:, 1::2] == found[:, ::2] + 1).all()
    assert (found[:, ::2] % 2 == 0).all()


@pytest.mark.parametrize(
    ("sizes", "cut"),
    [
        ([1, 1, 2, 2, 5], [1, 1, 2, 2, 2, 2, 1]),
        ([2, 2, 3], [2, 2, 2, 1]),
        ([2, 2, 1], [2, 2, 1]),
        ([1, 2, 3], [1, 1, 1, 1, 1, 1]),
        ([3, 3], [3, 3]),
    ],
)
def test_a_family_of_a_size_of_its_own_is_cut(sizes: list[int], cut: list[int]) -> None:
    ends = np.cumsum(sizes)
    blocks = np.split(np.arange(ends[-1]), ends[:-1])
    found = association.exchangeable(blocks)
    assert [len(block) for block in found] == cut
    assert np.concatenate(found).tolist() == list(range(ends[-1]))


def test_the_bootstrap_is_that_of_repeated_families() -> None:
    """Spearman's rho by scipy of samples in which whole families are repeated as often as they were drawn."""
    names = list(dict.fromkeys(FAMILIES))
    blocks = [np.flatnonzero(np.array(FAMILIES) == name) for name in names]
    counts = np.random.default_rng(3).multinomial(7, [1 / 7] * 7, association.DRAWS)
    naive = []
    for row in counts[:300]:
        places = np.concatenate([np.tile(block, times) for block, times in zip(blocks, row, strict=True)])
        naive.append(spearmanr(X[places], Y[places]).statistic)
    weights = np.array([[row[names.index(family)] for family in FAMILIES] for row in counts], float)
    fast = association._rho(X, Y, weights)
    assert fast[:300] == pytest.approx(np.array(naive), abs=1e-9)
    ends = association.bootstrap(X, Y, blocks, np.random.default_rng(3))
    assert ends == pytest.approx(tuple(np.quantile(fast, (0.025, 0.975))))


def test_a_twin_of_each_encoder_tells_nothing_new() -> None:
    """As members of one family they leave interval and p as they were; taken for families of their own they do not."""
    x, y = GENERATOR.standard_normal((2, 12))
    names = [str(place) for place in range(12)]
    single = associate(x, y, names)
    twins = associate(np.repeat(x, 2), np.repeat(y, 2), np.repeat(names, 2).tolist())
    assert twins[:3] == pytest.approx(single[:3])
    assert twins.p == pytest.approx(single.p)
    taken_apart = associate(np.repeat(x, 2), np.repeat(y, 2), [str(place) for place in range(24)])
    assert taken_apart.high - taken_apart.low < 0.8 * (single.high - single.low)


def test_only_the_order_counts_and_turning_one_score_turns_the_answer() -> None:
    found = associate(X, Y, FAMILIES)
    assert associate(np.exp(X), Y**3, FAMILIES) == found
    turned = associate(X, -Y, FAMILIES)
    assert (turned.rho, turned.low, turned.high) == pytest.approx((-found.rho, -found.high, -found.low))
    assert (turned.p, turned.tau) == pytest.approx((found.p, -found.tau))


def test_draws_depend_on_the_seed_alone() -> None:
    x, y = GENERATOR.standard_normal((2, 20))
    names = [str(place) for place in range(20)]
    assert associate(x, y, names, seed=1) == associate(x, y, names, seed=1)
    assert associate(x, y, names, seed=1).low != associate(x, y, names, seed=2).low


def test_a_strong_order_is_beyond_chance_and_none_is_not() -> None:
    names = [str(place) for place in range(30)]
    x = np.arange(30.0)
    strong = associate(x, x + 3 * np.random.default_rng(0).standard_normal(30), names)
    assert strong.low > 0.7
    assert strong.p == pytest.approx(2 / (association.DRAWS + 1))
    assert strong.chance[0] < 0 < strong.chance[1] < 0.5
    none = associate(x, np.random.default_rng(1).permutation(30), names)
    assert none.low < 0 < none.high
    assert none.p > 0.05


def test_a_constant_score_orders_nothing() -> None:
    found = associate([1.0, 1.0, 1.0, 1.0], [1, 2, 3, 4], FOUR)
    assert all(map(math.isnan, (found.rho, found.low, found.high, found.tau, found.p, *found.chance)))


def test_a_single_family_has_no_interval() -> None:
    found = associate([1, 2, 3, 4], [1, 2, 4, 3], ["a"] * 4)
    assert found.rho == pytest.approx(0.8)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


@pytest.mark.parametrize(
    ("x", "families", "message"),
    [
        ([1, 2, 3], FOUR, "3 and 4 values, and 4 families"),
        ([1, 2, 3, 4], ["a"], "4 and 4 values, and 1 families"),
        ([1, 2, 3, math.nan], FOUR, "must be finite"),
        ([1, 2, 3, math.inf], FOUR, "must be finite"),
    ],
)
def test_what_cannot_be_ordered_is_refused(x: list[float], families: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        associate(x, [1, 2, 3, 4], families)
