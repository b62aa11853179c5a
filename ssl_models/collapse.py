"""When a representation has collapsed: all samples have nearly the same vector, and differ in few ways.

The measures, in ssl_models/dimensions.py, and the limits are the same for trainings and for the protocol `label_free`,
which sees a representation once. Without torch, as reports read it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

PROBE, RANKME, DEVIATION = "probe_top1", "rankme", "deviation"
MEASURED = (PROBE, RANKME, DEVIATION)
"""What is measured of the vectors after an epoch, see ssl_models/monitor.py."""
SPREAD, WAYS, FEWEST = 0.05, 0.05, 3.0
"""Below this deviation, and below this share of the largest rank, but at least FEWEST, vectors are as good as equal."""

RULE = (
    f"A representation has collapsed where its deviation is below {SPREAD} and its RankMe below {100 * WAYS:g} % of "
    f"the largest possible (at least {FEWEST:g}), as in the protocol label-free. While it trains, two measurements in "
    "a row must find this, and the second deviation not above the first, since vectors may lie close together in the "
    "beginning"
)
"""Chen & He 2021 (arXiv:2011.10566, section 4.1) take a deviation near 0 for collapse, and Garrido et al. 2023
(arXiv:2210.02885) a low RankMe for that of dimensions. Both are asked, since either alone is found in sound networks:
a network of many layers begins with a deviation of 0.07, and one that reconstructs pictures has a RankMe of 5 of 128.
Vectors that move apart have not collapsed: those of texts, means of word vectors, lie close together in the first
epochs of word2vec, and leave each other after that. The limits are Covey's own."""


def close(values: Mapping[str, float], rank: int) -> bool:
    """Whether vectors are as good as equal. values: deviation and rankme. rank: the largest that RankMe can be."""
    return values[DEVIATION] < SPREAD and values[RANKME] < max(FEWEST, WAYS * rank)


def collapses(rows: Sequence[Mapping[str, float]], rank: int) -> list[int]:
    """The epochs, from 1, at which the rule finds a collapse. rows: of all epochs, measured or not."""
    measured = [(epoch, row) for epoch, row in enumerate(rows, start=1) if DEVIATION in row]
    return [
        epoch
        for (_, before), (epoch, now) in pairwise(measured)
        if close(before, rank) and close(now, rank) and now[DEVIATION] <= before[DEVIATION]
    ]


def collapsed(rows: Sequence[Mapping[str, float]], rank: int) -> int | None:
    """The epoch at which a collapse was found that lasted to the end; None where there was none, or it was left."""
    last = next((row for row in reversed(rows) if DEVIATION in row), None)
    found = collapses(rows, rank)
    return found[0] if last is not None and found and close(last, rank) else None


def described(values: Mapping[str, float], rank: int) -> str:
    """What is said of a collapse, as the end of a sentence."""
    return (
        "the representation has collapsed, all samples have nearly the same vector: "
        f"deviation {values[DEVIATION]:.2g}, RankMe {values[RANKME]:.1f} of {rank}"
    )
