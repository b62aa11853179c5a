"""Whether similar words have vectors of similar direction (as in Finkelstein et al. 2002, doi:10.1145/503104).

Legend: P pairs of words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy import ndarray
from scipy.stats import rankdata

from ssl_models.bounds import require_positive
from ssl_models.errors import NeedsSamples
from ssl_models.protocols._common.intervals import bootstrap
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._common.vocabulary import Vocabulary, cosine, vocabulary

NEEDS = ("encoder", "known")
TITLE = "similarity"
READING = (
    "Spearman's rank correlation between the cosine of two words' vectors and how similar the two are known to be: 1 "
    "for the same order, 0 by chance. Coverage is the share of the pairs whose words are in the vocabulary; the others "
    "do not count."
)
HEADLINE = "spearman"
UNITS = {"spearman": "number", "coverage": "share"}
SMALLEST = 3
"""The fewest pairs; the correlation of two is always 1 or -1."""
COMMON = 1e-3
"""Words of a larger share of a text than this tell little; word2vec subsamples them (Mikolov et al. 2013)."""
MOST = 20
"""Neighbours in a row of the table."""
ORDINALS = ("1st", "2nd", "3rd")


def evaluate(representation: Representation, *, seed: int, words: int = 12, neighbours: int = 8) -> Findings:
    """spearman, with its bootstrap interval over pairs; coverage; and a table of words with their nearest words.

    Pairs and scores are those of `known["similarity"]`. Equal cosines share their mean rank. Where all are equal, the
    correlation is 0. coverage counts pairs that the reader left out (`known["similarity_left_out"]`) as not covered.
    It is no sample of anything, so its interval is its value.

    With fewer than three pairs in the vocabulary, or with one score for all, there is no correlation. The table
    "neighbours" is made nevertheless. It shows frequent words of the pairs and of each section of `known["analogies"]`
    in turn; without these, the most frequent words of at most a thousandth of the text.

    words: rows of the table. neighbours: words in a row.
    Raises NeedsTruth for data without words, NeedsSamples for fewer than two words, DoesNotApply for an encoder without
    vectors of words, ValueError for settings out of range.
    """
    refuse(words=words, neighbours=neighbours)
    known, there = representation.known, vocabulary(representation)
    pairs: Sequence[Sequence[Any]] = known.get("similarity") or ()
    inside = [pair for pair in pairs if pair[0] in there.ids and pair[1] in there.ids]
    scores = []
    if len(inside) >= SMALLEST and len({float(score) for _, _, score in inside}) > 1:
        truth = np.array([float(score) for _, _, score in inside])
        left, right = (there.unit[[there.ids[pair[side]] for pair in inside]] for side in (0, 1))
        scores.append(_correlation(cosine(left, right), truth, seed))
    if total := len(pairs) + int(known.get("similarity_left_out") or 0):
        share = len(inside) / total
        scores.append(Score("", "coverage", share, share, share))
    return Findings(scores, tables={"neighbours": _table(there, chosen(there, known, words), neighbours)})


def refuse(*, words: int, neighbours: int) -> None:
    """Raises ValueError for settings out of range."""
    require_positive(words=words, neighbours=neighbours)
    if neighbours > MOST:
        raise ValueError(f"neighbours is {neighbours}; the table has room for {MOST}")


def spearman(left: ndarray, right: ndarray) -> float:
    """Of (P,) and (P,): Pearson's correlation of their ranks, equal values sharing their mean rank; 0 for a constant.

    (Spearman 1904, doi:10.2307/1412159)
    """
    ranks = [rankdata(values) for values in (left, right)]
    one, other = (own - own.mean() for own in ranks)
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 0.0


def chosen(there: Vocabulary, known: Mapping[str, Any], count: int) -> list[int]:
    """The ids of at most `count` words whose neighbours are shown."""
    groups = [[word for pair in known.get("similarity") or () for word in pair[:2]]]
    groups += [[word for question in own for word in question] for own in (known.get("analogies") or {}).values()]
    queues = [there.by_frequency(group) for group in groups]
    found = list(dict.fromkeys(number for turn in zip_longest(*queues) for number in turn if number is not None))
    if not found:
        every = there.by_frequency(there.words[1:])
        telling = [number for number in every if there.counts[number] <= COMMON * there.counts.sum()]
        found = telling if len(telling) >= count else every
    return found[:count]


def _correlation(cosines: ndarray, truth: ndarray, seed: int) -> Score:
    low, high = bootstrap(lambda units: spearman(cosines[units], truth[units]), len(truth), seed=seed)
    return Score("", "spearman", spearman(cosines, truth), low, high)


def _table(there: Vocabulary, rows: Sequence[int], neighbours: int) -> dict[str, list[str]]:
    """Column -> words: "word", then "1st", "2nd" and so on for the nearest by cosine."""
    nearest = min(neighbours, len(there.words) - 2)
    if not nearest:
        raise NeedsSamples("the vocabulary has one word only, which has no neighbours")
    columns = [ORDINALS[place] if place < len(ORDINALS) else f"{place + 1}th" for place in range(nearest)]
    found = [there.nearest(number, nearest) for number in rows]
    table = {"word": [there.words[number] for number in rows]}
    return table | {name: [there.words[own[place]] for own in found] for place, name in enumerate(columns)}
