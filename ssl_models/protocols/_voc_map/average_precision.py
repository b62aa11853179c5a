"""Average precision of a ranking, in the three forms found in the literature.

"area": sum over n of (R_n - R_{n-1}) P_n, the area under the curve as it is; scikit-learn's average_precision_score.
"voc07": the mean of the best precision at recall 0, .1, ..., 1 or more (Everingham et al. 2010, section 4.2).
"voc10": the area under the best precision at this recall or more, of VOC2010 and later; also what the code of Goyal et
al. 2019 reports for VOC07. Both interpolated forms are a little above the area, most of all for poor rankings.

P_n and R_n are precision and recall among the samples down to the n-th distinct score. Samples of equal scores are
taken together, so that their order has no effect. Legend: N samples, G distinct scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy import ndarray

FORMS = ("area", "voc07", "voc10")


@dataclass(frozen=True)
class Ranking:
    """Samples from the highest score to the lowest, without the ignored ones.

    order: (N',) which of the N samples. positive: (N',) bool. ends: (G,) where in `order` each group of equal scores
    ends.
    """

    order: ndarray
    positive: ndarray
    ends: ndarray


def average_precision(scores: ndarray, present: ndarray, *, form: str = "area") -> float:
    """Of scores (N,) against present (N,): 1 positive, 0 negative, -1 ignored. NaN where nothing is positive."""
    return average(*curve(rank(scores, present)), form=form)


def rank(scores: ndarray, present: ndarray) -> Ranking:
    """Raises ValueError for scores that are not finite or not one for each entry of present."""
    if scores.ndim != 1 or scores.shape != present.shape:
        raise ValueError(f"scores of shape {scores.shape} must be a vector, one for each of {present.shape} entries")
    if not np.isfinite(scores).all():
        raise ValueError("scores that are not finite cannot be ranked")
    counted = np.flatnonzero(present >= 0)
    order = counted[np.argsort(-scores[counted], kind="stable")]
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    return Ranking(order, present[order] > 0, np.flatnonzero(last))


def curve(ranking: Ranking, counts: ndarray | None = None) -> tuple[ndarray, ndarray]:
    """Recall and precision (G,) down to each distinct score. counts: (N,) how often each sample counts, else once.

    Recall is NaN where nothing is positive.
    """
    weights = np.ones(len(ranking.order), np.int64) if counts is None else counts[ranking.order]
    seen = np.cumsum(weights)[ranking.ends]
    hits = np.cumsum(weights * ranking.positive)[ranking.ends]
    positives = hits[-1] if len(hits) and hits[-1] > 0 else np.nan
    return hits / positives, hits / np.maximum(seen, 1)


def average(recall: ndarray, precision: ndarray, *, form: str = "area") -> float:
    """The average precision of a curve (G,) that runs from the highest score to the lowest."""
    refuse_form(form)
    if len(recall) == 0 or not np.isfinite(recall[-1]):
        return float("nan")
    if form != "area":  # the best precision at this recall or more
        precision = np.maximum.accumulate(precision[::-1])[::-1]
    if form == "voc07":
        # i / 10 is rounded like recall, which is a quotient too. Sums of .1 are rounded differently.
        return float(precision[np.searchsorted(recall, np.arange(11) / 10)].mean())
    return float((recall - np.append(0.0, recall[:-1])) @ precision)


def mean_average_precision(rankings: list[Ranking], counts: ndarray | None = None, *, form: str = "area") -> float:
    """The mean over those rankings that have a positive; NaN where none has. counts: as for `curve`."""
    found = [average(*curve(ranking, counts), form=form) for ranking in rankings]
    known = [value for value in found if isfinite(value)]
    return sum(known) / len(known) if known else float("nan")


def thinned(recall: ndarray, precision: ndarray, points: int) -> tuple[ndarray, ndarray]:
    """At most `points` points of a curve for drawing, with the first and the last."""
    kept = np.unique(np.linspace(0, len(recall) - 1, min(points, len(recall))).round().astype(int))
    return recall[kept], precision[kept]


def refuse_form(form: str) -> None:
    if form not in FORMS:
        raise ValueError(f"form = {form!r} must be one of {', '.join(FORMS)}")
