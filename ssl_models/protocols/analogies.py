"""Analogies of words: a is to b as c is to which word? (Mikolov et al. 2013, arXiv:1301.3781, section 4.)

Legend: V words, D numbers in a vector, Q questions (Q, 4): the ids of a, b, c and the answer d.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain, count

import numpy as np
from numpy import ndarray

from ssl_models.bounds import require_choice, require_positive
from ssl_models.errors import NeedsSamples, NeedsTruth
from ssl_models.protocols._analogies.plane import draw, pairs_of, parallel
from ssl_models.protocols._common.intervals import proportion
from ssl_models.protocols._common.score import Findings, Representation, Score
from ssl_models.protocols._common.vocabulary import Vocabulary, vocabulary

NEEDS = ("encoder", "known")
TITLE = "analogies"
READING = (
    "The share of questions 'a is to b as c is to ?' whose answer is the first of all words but the three given; by "
    "chance one in as many as there are words. Parallel is the mean cosine between the differences (b - a) of the "
    "pairs that the picture's section is made of: 1 where all arrows point one way, 0 by chance. Coverage is the share "
    "of the questions whose words are all in the vocabulary; the others do not count."
)
HEADLINE = "accuracy"
UNITS = {"accuracy": "share", "accuracy_*": "share", "parallel": "number", "coverage": "share"}
ADD, MULTIPLY = "add", "mul"
EPSILON = 1e-3
ROWS = 256
"""Questions that are compared with all words at once: 30 MB at 30,000 words."""
APART = 1e-6
"""Scores nearer than this are equal, far above the errors of float32 sums. Cosines of words differ by hundredths."""


def evaluate(representation: Representation, *, seed: int, rule: str = ADD, most: int = 30000) -> Findings:
    """accuracy over all questions and accuracy_SECTION, each with its Wilson interval; parallel and coverage.

    The answer is searched among the `most` most frequent words but a, b and c. Questions with a word that is not among
    them, or whose answer is one of a, b and c, are left out; coverage is the share of the others. It is no sample of
    anything, so its interval is its value. A section without questions gives no score. An answer counts if it is better
    than every other word: of equal ones none is right, so that constant vectors have no right answer.

    parallel: see `plane.parallel`; of the first section that has pairs without a common word, with a bootstrap interval
    over pairs. The picture "plane" shows the two principal components of the words of this section.

    rule: "add" is 3CosAdd: the largest cosine to b - a + c, vectors of length 1. "mul" is 3CosMul: the largest
    cos(b) cos(c) / (cos(a) + .001), with cosines moved to [0, 1] (Levy & Goldberg 2014, W14-1618, equation 4 and
    section 6). most: as many as word2vec's own code takes.
    Raises NeedsTruth for data without words or analogies, NeedsSamples if no question can be asked, DoesNotApply for an
    encoder without vectors of words, ValueError for settings out of range.
    """
    refuse(rule=rule, most=most)
    listed: Mapping[str, Sequence[Sequence[str]]] = representation.known.get("analogies") or {}
    there = vocabulary(representation)
    total = sum(len(own) for own in listed.values())
    if not total:
        raise NeedsTruth("the data have no analogies")
    asked = {name: found for name, own in listed.items() if len(found := questions(there, own, most))}
    if not asked:
        raise NeedsSamples(f"the vocabulary of {len(there.words) - 1} words has all four of none of {total} analogies")
    right = {name: answered(there, found, most, rule) for name, found in asked.items()}
    hits = np.concatenate(list(right.values()))
    scores = [proportion("", "accuracy", hits)]
    scores += [proportion("", metric, right[name]) for name, metric in metrics(list(asked)).items()]
    share, pictures = len(hits) / total, {}
    for name, found in asked.items():
        pairs = pairs_of(found)
        if (score := parallel(there.unit, pairs, seed)) is not None:
            scores.append(score)
            pictures["plane"] = draw(there, pairs, name)
            break
    return Findings([*scores, Score("", "coverage", share, share, share)], pictures)


def refuse(*, rule: str, most: int) -> None:
    """Raises ValueError for settings out of range."""
    require_choice("rule", rule, (ADD, MULTIPLY))
    require_positive(most=most)


def metrics(sections: Sequence[str]) -> dict[str, str]:
    """Section -> accuracy_SECTION, of letters, digits and underscores; a number is added to what would come twice."""
    found: dict[str, str] = {}
    for section in sections:
        plain = "accuracy_" + (re.sub(r"\W+", "_", section, flags=re.ASCII).strip("_").lower() or "section")
        names = chain([plain], (f"{plain}_{turn}" for turn in count(2)))
        found[section] = next(name for name in names if name not in found.values())
    return found


def questions(there: Vocabulary, listed: Sequence[Sequence[str]], most: int) -> ndarray:
    """(Q, 4) int64: those that can be asked."""
    found = [[there.ids.get(word, 0) for word in question] for question in listed]
    ids = np.array(found, np.int64).reshape(-1, 4)
    known = (ids > 0).all(1) & (there.ranks[ids] < most).all(1)
    return np.asarray(ids[known & (ids[:, 3:] != ids[:, :3]).all(1)])


def answered(there: Vocabulary, asked: ndarray, most: int, rule: str) -> ndarray:
    """(Q,) bool: whether the answer to each question scores higher than every other word."""
    searched = np.argsort(there.ranks)[: min(most, len(there.words) - 1)]  # ids, the most frequent first
    table = np.ascontiguousarray(there.unit[searched].T)  # (D, V)
    found = []
    for begin in range(0, len(asked), ROWS):
        block = asked[begin : begin + ROWS]
        a, b, c = (there.unit[block[:, side]] for side in range(3))
        scores = (b - a + c) @ table if rule == ADD else _product(a @ table, b @ table, c @ table)
        places = there.ranks[block]  # where a, b, c and d stand in the table
        answer = np.take_along_axis(scores, places[:, 3:], 1)[:, 0]
        np.put_along_axis(scores, places, -np.inf, 1)
        found.append(answer > scores.max(1) + APART)
    return np.concatenate(found)


def _product(a: ndarray, b: ndarray, c: ndarray) -> ndarray:
    """Cosines (Q, V) of all words to a, b and c -> their scores."""
    a, b, c = ((cosines + 1) / 2 for cosines in (a, b, c))
    return np.asarray(b * c / (a + EPSILON))
