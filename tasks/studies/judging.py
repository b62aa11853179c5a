"""Whether the rules of a study hold: paired differences over seeds, Student's t, and Holm's correction over the rules.

A rule's p is that of a paired t-test over seeds, two-sided. Where a study has several rules, each p is corrected by
Holm's step-down procedure (Holm 1979, Scandinavian Journal of Statistics 6, 65-70), which keeps the probability of any
wrong verdict among them at LEVEL. A rule holds or fails, by the sign of its difference, where the corrected p is below
LEVEL. A rule without a p, as one on a correlation above another number than 0, is judged by its 95 % interval.

A rule may say which differences are negligible. Where its difference is not told from 0 but is shown to lie within
that bound of 0, by two one-sided t-tests (Schuirmann 1987, Journal of Pharmacokinetics and Biopharmaceutics 15,
657-680), it is negligible. Holm's correction is made over these tests too: each kind of test keeps LEVEL.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

HOLDS, FAILS, NEGLIGIBLE, OPEN = "holds", "fails", "negligible", "open"
LEVEL, POWER = 0.05, 0.8
MOST_SEEDS = 200
MARGIN = 0.03
"""A share of three points: what lies no further above the floor tells nothing."""


def p_value(differences: Sequence[float]) -> float:
    """Two-sided, of the mean of paired differences being 0 (Student's t); no number for fewer than two."""
    from scipy.stats import ttest_1samp

    if len(differences) < 2 or not all(map(math.isfinite, differences)):
        return math.nan
    if statistics.stdev(differences) == 0:
        return 0.0 if differences[0] else 1.0
    return float(ttest_1samp(differences, 0).pvalue)


def p_negligible(differences: Sequence[float], bound: float) -> float:
    """Of the mean of paired differences lying `bound` or further from 0: the larger of two one-sided p's."""
    from scipy.stats import t

    if len(differences) < 2 or not all(map(math.isfinite, differences)):
        return math.nan
    mean, deviation = _spread(differences)
    if deviation == 0:
        return 0.0 if mean < bound else 1.0
    return float(t.sf((bound - mean) / deviation * math.sqrt(len(differences)), len(differences) - 1))


def holm(found: Sequence[float]) -> list[float]:
    """Each p by Holm's step-down correction, in the order given; what is no number stays so and does not count.

    The i-th smallest of m is max over j <= i of (m - j + 1) p_j, at most 1.
    """
    order = sorted((p, place) for place, p in enumerate(found) if not math.isnan(p))
    corrected, highest = [math.nan] * len(found), 0.0
    for passed, (p, place) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - passed) * p))
        corrected[place] = highest
    return corrected


def seeds_needed(differences: Sequence[float], rules: int = 1) -> int | None:
    """How many seeds tell a mean difference of this size, at this spread, from 0 with a probability of POWER.

    By the noncentral t distribution (Cohen 1988, chapter 2), at a level of LEVEL / rules: the strictest that Holm's
    correction sets among so many. None where MOST_SEEDS are not enough, and where the spread is not known.
    """
    mean, deviation = _spread(differences)
    if not mean or not deviation:
        return None
    return _fewest(lambda count: _power(count, mean / deviation, LEVEL / rules / 2))


def seeds_negligible(differences: Sequence[float], bound: float, rules: int = 1) -> int | None:
    """How many seeds show a mean difference of this size, at this spread, to be negligible with a probability of POWER.

    The probability that both one-sided tests succeed is at least the sum of theirs less 1. None as in seeds_needed, and
    where the difference is no smaller than the bound.
    """
    mean, deviation = _spread(differences)
    if mean >= bound or not deviation:
        return None
    sizes = [(bound - mean) / deviation, (bound + mean) / deviation]
    return _fewest(lambda count: sum(_power(count, size, LEVEL / rules) for size in sizes) - 1)


def _spread(differences: Sequence[float]) -> tuple[float, float]:
    """The size of the mean, and the deviation; 0 for a deviation that is not known."""
    if len(differences) < 2 or not all(map(math.isfinite, differences)):
        return 0.0, 0.0
    return abs(statistics.fmean(differences)), statistics.stdev(differences)


def _power(count: int, size: float, level: float) -> float:
    """The probability that a one-sided t-test at a level finds a mean of `size` deviations."""
    from scipy.stats import nct, t

    return float(nct.sf(t.isf(level, count - 1), count - 1, size * math.sqrt(count)))


def _fewest(power: Callable[[int], float]) -> int | None:
    return next((count for count in range(2, MOST_SEEDS + 1) if power(count) >= POWER), None)


def settle(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules with `difference`, `low`, `high`, `p` -> with `corrected` and `outcome` as well.

    p is None where a rule has none. `at_floor` and `p_negligible` are of the rules that have them, and `p_negligible`
    comes back corrected.
    """
    corrected = holm([_number(rule["p"]) for rule in rules])
    negligible = holm([_number(rule.get("p_negligible")) for rule in rules])
    return [
        {
            **rule,
            **({} if math.isnan(within) else {"p_negligible": within}),
            "corrected": None if math.isnan(p) else p,
            "outcome": _outcome(rule, p, within),
        }
        for rule, p, within in zip(rules, corrected, negligible, strict=True)
    ]


def _number(p: float | None) -> float:
    return math.nan if p is None else p


def _outcome(rule: dict[str, Any], corrected: float, negligible: float) -> str:
    if rule.get("at_floor"):
        return OPEN
    if not math.isnan(corrected):
        if corrected < LEVEL:
            return HOLDS if rule["difference"] > 0 else FAILS
        return NEGLIGIBLE if negligible < LEVEL else OPEN
    if rule["low"] is None:
        return OPEN
    return HOLDS if rule["low"] > 0 else FAILS if rule["high"] < 0 else OPEN
