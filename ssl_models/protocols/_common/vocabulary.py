"""The words that an encoder has vectors of; what word similarity and analogies share. numpy only.

Legend: V words with that for no word, D numbers in a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.errors import DoesNotApply, NeedsTruth
from ssl_models.protocols._common.score import Representation


@dataclass(frozen=True)
class Vocabulary:
    """words: V of them by id, the first for no word. unit: (V, D) float32, their vectors at length 1; zeros stay zeros.

    counts: (V,) how often each occurs in the training samples; all 0 where that is not known.
    """

    words: Sequence[str]
    unit: ndarray
    counts: ndarray

    @cached_property
    def ids(self) -> dict[str, int]:
        """Word -> id, without that for no word."""
        return {word: number for number, word in enumerate(self.words) if number}

    @cached_property
    def ranks(self) -> ndarray:
        """(V,) int64: the place of each id by frequency, from 0; of equally frequent words the lower id comes first."""
        order = 1 + np.argsort(-self.counts[1:], kind="stable")
        found = np.full(len(self.words), len(self.words), np.int64)
        found[order] = np.arange(len(order))
        return found

    def by_frequency(self, words: Sequence[str]) -> list[int]:
        """The ids of those of some words that are in the vocabulary, each once, the most frequent first."""
        found = {self.ids[word] for word in words if word in self.ids}
        return sorted(found, key=lambda number: int(self.ranks[number]))

    def nearest(self, number: int, count: int) -> list[int]:
        """The ids of the words with the largest cosine to a word's, largest first, without itself.

        Of equal cosines the more frequent word comes first.
        """
        others = np.argsort(self.ranks)[:-1]  # by frequency, without that for no word
        others = others[others != number]
        cosines = cosine(self.unit[others], self.unit[number])
        return [int(found) for found in others[np.argsort(-cosines, kind="stable")[:count]]]


def cosine(left: ndarray, right: ndarray) -> ndarray:
    """Of unit vectors (..., D), rounded far above the errors of float32 sums: what is equal comes out equal."""
    return np.round((left.astype(np.float64) * right.astype(np.float64)).sum(-1), 6)


def vocabulary(representation: Representation) -> Vocabulary:
    """The words of the data and the encoder's vectors of them.

    Raises NeedsTruth for data without words, DoesNotApply for an encoder without vectors of words, ValueError for
    vectors that are not finite or not one for each word.
    """
    words: Sequence[str] = representation.known.get("words") or ()
    if len(words) < 2:
        raise NeedsTruth("the data have no words")
    encoder = representation.encoder()
    given: Any = getattr(encoder, "vectors", None)
    if given is None:
        raise DoesNotApply(f"the encoder '{encoder.name}' has no vectors of words; 'bag' has")
    vectors = np.array(given.detach().cpu().numpy(), np.float32)
    if vectors.ndim != 2 or len(vectors) != len(words):
        raise ValueError(f"the encoder has vectors of shape {vectors.shape} for {len(words)} words; train it again")
    if not np.isfinite(vectors).all():
        raise ValueError("the encoder has vectors of words that are not finite; train it again")
    # Divided by the largest number first: the squares of very large numbers are not finite.
    vectors /= np.maximum(np.abs(vectors).max(1, keepdims=True), np.finfo(np.float32).tiny)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    counts = representation.known.get("counts") or np.zeros(len(words), np.int64)
    return Vocabulary(words, vectors, np.asarray(counts, np.int64))
