"""Whether the rules of a study hold: paired differences over seeds, Student's t, and Holm's correction over the rules.

A rule's p is that of a paired t-test over seeds, two-sided. Where a study has several rules, each p is corrected by
Holm's step-down procedure (Holm 1979, Scandinavian Journal of Statistics 6, 65-70), which keeps the probability of any
wrong verdict among them at LEVEL. A rule holds or fails, by the sign of its difference, where the corrected p is below
LEVEL. A rule without a p, as one on a correlation above another number than 0, is judged by its 95 % interval.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

HOLDS, FAILS, OPEN = "holds", "fails", "open"
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
    from scipy.stats import nct, t

    if len(differences) < 2 or not all(map(math.isfinite, differences)):
        return None
    mean, deviation = abs(statistics.fmean(differences)), statistics.stdev(differences)
    if deviation == 0 or mean == 0:
        return None
    for count in range(2, MOST_SEEDS + 1):
        critical, shift = t.isf(LEVEL / rules / 2, count - 1), mean / deviation * math.sqrt(count)
        if nct.sf(critical, count - 1, shift) >= POWER:
            return count
    return None


def settle(rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rules with `difference`, `low`, `high`, `p`, and `at_floor` where so -> with `corrected` and `outcome` as well.

    p is None where a rule has none.
    """
    corrected = holm([math.nan if rule["p"] is None else rule["p"] for rule in rules])
    return [
        {**rule, "corrected": None if math.isnan(p) else p, "outcome": _outcome(rule, p)}
        for rule, p in zip(rules, corrected, strict=True)
    ]


def _outcome(rule: dict[str, Any], corrected: float) -> str:
    if rule.get("at_floor"):
        return OPEN
    if not math.isnan(corrected):
        return OPEN if corrected >= LEVEL else HOLDS if rule["difference"] > 0 else FAILS
    if rule["low"] is None:
        return OPEN
    return HOLDS if rule["low"] > 0 else FAILS if rule["high"] < 0 else OPEN
