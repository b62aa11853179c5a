"""Rules judged: p by Student's t, Holm's correction, the floor, and how many seeds would decide."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tasks.studies import board, judging
from tasks.studies import study as studies
from tasks.studies.judging import (
    FAILS,
    HOLDS,
    NEGLIGIBLE,
    OPEN,
    holm,
    p_negligible,
    p_value,
    seeds_needed,
    seeds_negligible,
    settle,
)
from tasks.studies.measures import Named
from tasks.sweeps.settings import Measure
from tests.tasks.test_studies import record, study


def rule(difference: float = 0.1, low: float | None = 0.05, high: float | None = 0.15, **more: Any) -> dict[str, Any]:
    return {"difference": difference, "low": low, "high": high, "p": None, **more}


def test_students_t_by_hand() -> None:
    """Of 1, 2, 3: t = 2 / (1 / sqrt 3) = 3.4641, and with two degrees of freedom p = 1 - t / sqrt(t^2 + 2)."""
    t = 2 * math.sqrt(3)
    assert p_value([1.0, 2.0, 3.0]) == pytest.approx(1 - t / math.sqrt(t**2 + 2))
    assert p_value([-1.0, -2.0, -3.0]) == pytest.approx(p_value([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.1, 0.1], 0.0), ([0.0, 0.0, 0.0], 1.0), ([0.1], math.nan), ([], math.nan), ([0.1, math.nan], math.nan)],
)
def test_p_at_its_limits(differences: list[float], expected: float) -> None:
    assert p_value(differences) == pytest.approx(expected, nan_ok=True)


def test_holms_correction_by_hand() -> None:
    """4 x 0.01, 3 x 0.02, 2 x 0.04 and 0.03 after 0.02: sorted .01 .02 .03 .04 give .04 .06 .06 .06."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    assert holm([0.03, math.nan]) == pytest.approx([0.03, math.nan], nan_ok=True)
    assert holm([]) == []


def test_holm_is_wrong_in_a_twentieth_of_families_where_nothing_is_true() -> None:
    found = np.random.default_rng(0).uniform(size=(2000, 5))
    wrong = np.mean([min(holm(list(row))) < judging.LEVEL for row in found])
    assert 0.035 < wrong < 0.065


def test_the_seeds_needed_are_those_of_the_power_table() -> None:
    """Cohen 1988, table 2.4.1: a paired difference of half a deviation needs 34 pairs for a power of 0.8."""
    half = [0.5 + x for x in (-1.0, 0.0, 1.0)]
    assert seeds_needed(half) == 34
    whole = [1.0 + x for x in (-1.0, 0.0, 1.0)]
    assert seeds_needed(whole) == 10
    assert seeds_needed([-x for x in whole]) == 10
    assert seeds_needed(whole, rules=3) > 10


@pytest.mark.parametrize("differences", [[0.1], [0.1, 0.1], [-0.1, 0.1], [0.01, 1.0, -0.99], [0.1, math.nan]])
def test_no_number_of_seeds_where_none_can_be_told(differences: list[float]) -> None:
    assert seeds_needed(differences) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rule(0.1, 0.05, 0.15, p=0.01), HOLDS),
        (rule(-0.1, -0.15, -0.05, p=0.01), FAILS),
        (rule(0.1, -0.05, 0.25, p=0.2), OPEN),
        (rule(0.1, 0.05, 0.15, p=0.01, at_floor=True), OPEN),
        (rule(-0.1, -0.15, -0.05, p=0.01, at_floor=True), OPEN),
        (rule(), HOLDS),
        (rule(-0.1, -0.15, -0.05), FAILS),
        (rule(0.1, 0.0, 0.2), OPEN),
        (rule(0.1, None, None), OPEN),
        (rule(math.nan, math.nan, math.nan), OPEN),
    ],
)
def test_a_rule_alone_is_judged_by_its_p_or_its_interval(given: dict[str, Any], expected: str) -> None:
    (found,) = settle([given])
    assert found["outcome"] == expected
    assert found["corrected"] == given["p"]


def test_what_one_rule_shows_alone_it_may_not_show_among_several() -> None:
    alone, _, _ = settle([rule(p=0.04), rule(p=0.5), rule(p=0.9)])
    assert settle([rule(p=0.04)])[0]["outcome"] == HOLDS
    assert (alone["corrected"], alone["outcome"]) == (pytest.approx(0.12), OPEN)


def test_two_one_sided_tests_by_hand() -> None:
    """Of 0, 1, 2 within 3: t = (3 - 1) / (1 / sqrt 3); with two degrees of freedom p = (1 - t / sqrt(t^2 + 2)) / 2."""
    t = 2 * math.sqrt(3)
    assert p_negligible([0.0, 1.0, 2.0], 3) == pytest.approx((1 - t / math.sqrt(t**2 + 2)) / 2)
    assert p_negligible([0.0, -1.0, -2.0], 3) == pytest.approx(p_negligible([0.0, 1.0, 2.0], 3))
    assert p_negligible([0.0, 1.0, 2.0], 1) == pytest.approx(0.5), "at the bound"
    assert p_negligible([0.0, 1.0, 2.0], 0.5) > 0.5


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.1, 0.1], 0.0), ([0.3, 0.3], 1.0), ([0.1], math.nan), ([0.1, math.nan], math.nan)],
)
def test_negligible_at_its_limits(differences: list[float], expected: float) -> None:
    assert p_negligible(differences, 0.2) == pytest.approx(expected, nan_ok=True)


def test_a_difference_at_the_bound_is_called_negligible_in_a_twentieth_of_cases() -> None:
    found = np.random.default_rng(0).normal(0.02, 0.01, size=(2000, 6))
    wrong = np.mean([p_negligible(list(row), 0.02) < judging.LEVEL for row in found])
    assert 0.035 < wrong < 0.065


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (rule(0.0, -0.01, 0.01, p=0.9, p_negligible=0.001), NEGLIGIBLE),
        (rule(0.0, -0.05, 0.05, p=0.9, p_negligible=0.2), OPEN),
        (rule(0.01, 0.005, 0.015, p=0.01, p_negligible=0.001), HOLDS),
        (rule(-0.01, -0.015, -0.005, p=0.01, p_negligible=0.001), FAILS),
        (rule(0.0, -0.01, 0.01, p=0.9, p_negligible=0.001, at_floor=True), OPEN),
        (rule(0.0, -0.01, 0.01, p=0.9, p_negligible=None), OPEN),
    ],
)
def test_a_rule_is_negligible_where_it_is_no_difference_and_no_large_one(given: dict[str, Any], expected: str) -> None:
    assert settle([given])[0]["outcome"] == expected


def test_negligible_is_corrected_by_holm_too() -> None:
    small = rule(p=0.9, p_negligible=0.03)
    assert settle([small])[0]["outcome"] == NEGLIGIBLE
    alone, _ = settle([small, rule(p=0.9, p_negligible=0.5)])
    assert (alone["p_negligible"], alone["outcome"]) == (pytest.approx(0.06), OPEN)
    assert settle([small, rule(p=0.9)])[0]["outcome"] == NEGLIGIBLE, "of those that have such a test"


def test_the_seeds_that_show_a_difference_to_be_negligible_do_so_in_eight_of_ten_cases() -> None:
    differences = [0.005 + 0.012 * x for x in (-1.0, 0.0, 1.0)]
    count = seeds_negligible(differences, 0.02)
    assert count is not None
    drawn = np.random.default_rng(0).normal(0.005, 0.012, size=(2000, count))
    power = np.mean([p_negligible(list(row), 0.02) < judging.LEVEL for row in drawn])
    assert 0.77 < power < 0.87
    assert (seeds_negligible(differences, 0.02, rules=3) or 0) > count
    assert seeds_negligible([-x for x in differences], 0.02) == count


@pytest.mark.parametrize("differences", [[0.1], [0.0, 0.0], [0.02, 0.06], [0.0, math.nan], [-5.0, 5.0]])
def test_no_number_of_seeds_shows_that_a_large_or_unknown_difference_is_negligible(differences: list[float]) -> None:
    assert seeds_negligible(differences, 0.02) is None


def judged(rules: list[dict[str, Any]], floor: float, gains: tuple[float, ...] = (0.0, 0.01, 0.02)) -> list[str]:
    """Outcomes with `a` about 0.5, `b` 0.1 above it, and a network that learnt nothing at `floor`."""
    named = {name: Named((Measure(name, "knn"),)) for name in ("a", "b", "untrained")}
    records = [
        record(seed, {("a", ""): 0.5 + gain, ("b", ""): 0.6 - gain, ("untrained", ""): floor})
        for seed, gain in enumerate(gains)
    ]
    found = studies.judge(study(named, rules, len(gains), floor="untrained"), records)
    return [one["outcome"] for one in found["rules"]]


def test_a_rule_says_nothing_where_none_of_its_measures_is_above_the_floor() -> None:
    rules = [{"greater": "b", "than": "a"}, {"greater": "a + 0.3", "than": "b"}]
    assert judged(rules, floor=0.2) == [HOLDS, HOLDS]
    assert judged(rules, floor=0.55) == [HOLDS, HOLDS], "b is four points above it"
    assert judged(rules, floor=0.57) == [OPEN, OPEN]
    assert judged(rules, floor=0.7) == [OPEN, OPEN]


def test_a_floor_with_places_is_that_of_the_same_place() -> None:
    named = {
        "a": Named((Measure("a", "knn"),)),
        "at_eight": Named((Measure("a", "knn"),), {"clusters": 8}),
        "untrained": Named((Measure("untrained", "knn"),)),
    }
    floors = {4: 0.1, 8: 0.49}
    records = [
        record(seed, {("a", ""): 0.5 + 0.001 * seed, ("untrained", ""): floor}, clusters=clusters)
        for seed in range(3)
        for clusters, floor in floors.items()
    ]
    rules = [{"greater": "a@4", "than": 0.2}, {"greater": "a@8", "than": 0.2}, {"greater": "at_eight", "than": 0.2}]
    found = studies.judge(study(named, rules, 3, axis="clusters", floor="untrained"), records)
    assert [one["outcome"] for one in found["rules"]] == [HOLDS, OPEN, OPEN]


def test_an_open_rule_tells_how_many_seeds_would_decide() -> None:
    named = {name: Named((Measure(name, "knn"),)) for name in ("a", "b")}
    records = [
        record(seed, {("a", ""): 0.5, ("b", ""): 0.5 + gain}) for seed, gain in enumerate((-0.005, 0.005, 0.015))
    ]
    (found,) = studies.judge(study(named, [{"greater": "b", "than": "a"}], 3), records)["rules"]
    assert found["outcome"] == OPEN
    assert found["seeds_needed"] == 34


def test_a_claim_whose_difference_is_negligible_is_not_reproduced() -> None:
    named = {name: Named((Measure(name, "knn"),)) for name in ("a", "b")}
    gains = (0.001, -0.002, 0.002, -0.001)
    records = [record(seed, {("a", ""): 0.5, ("b", ""): 0.5 + gain}) for seed, gain in enumerate(gains)]
    told = [{"greater": "b", "than": "a", "negligible": 0.02}]
    found = studies.judge(study(named, told, len(gains)), records)
    (one,) = found["rules"]
    assert (found["verdict"], one["outcome"], one["negligible"]) == (studies.NOT_REPRODUCED, NEGLIGIBLE, 0.02)
    assert board.in_words(one).endswith("negligible: less than 0.02 either way, corrected p 0.000 (two tests).")
    found = studies.judge(study(named, [{"greater": "b", "than": "a"}], len(gains)), records)
    assert (found["verdict"], found["rules"][0]["outcome"]) == (studies.UNDECIDED, OPEN)
