"""The documents of the world of text: each of one topic and mostly about one place, a row of sentences.

Legend: D documents, M words of all of them together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from ssl_models.datasets._world_text.grammar import SHORTEST, WORDS, sentences
from ssl_models.datasets._world_text.lexicon import PLACE, TOPICS

BLOCK, BLOCKS = 64, 2
"""A document has up to BLOCKS whole blocks of words, and one that is at least half as long."""
MEAN = BLOCK * (BLOCKS + 1.5) / 2
"""Words of a document on average."""


@dataclass(frozen=True)
class Documents:
    """words: (M,) int32 ids, the documents one after another. lengths, topics, places: (D,), of each document."""

    words: ndarray
    lengths: ndarray
    topics: ndarray
    places: ndarray


def lengths_of(documents: int, random: Generator) -> ndarray:
    """(D,) words of each document. The first draw of all, so that they are known without the words."""
    whole = random.integers(BLOCKS + 1, size=documents)
    return whole * BLOCK + random.integers(BLOCK // 2, BLOCK + 1, size=documents)


def draw(documents: int, topic: float, noise: float, random: Generator) -> Documents:
    """Documents whose topics and places are independent and all equally frequent.

    topic: how much a document's topic tells in its words, in [0, 1]. noise: share of the words that are replaced by any
    of the vocabulary. The last sentence of a document is cut off where the document ends.
    """
    lengths = lengths_of(documents, random)
    topics = random.integers(len(TOPICS), size=documents)
    places = random.integers(len(PLACE.words), size=documents)
    counts = -(-lengths // SHORTEST)  # enough sentences, however short they are
    owner = np.repeat(np.arange(documents), counts)
    drawn = sentences(topics[owner], places[owner], topic, random)
    there = drawn > 0
    ends = there.sum(1).cumsum()
    starts = np.concatenate([[0], ends[counts.cumsum()[:-1] - 1]])  # of each document among all words
    place = np.repeat(starts - np.concatenate([[0], lengths.cumsum()[:-1]]), lengths) + np.arange(lengths.sum())
    words = drawn[there][place]
    other = random.integers(1, len(WORDS), size=len(words), dtype=np.int32)
    return Documents(np.where(random.random(len(words)) < noise, other, words), lengths, topics, places)
