"""The world of text: documents by a template grammar of 445 words, whose similarity and analogies are known.

It is an instrument, not a benchmark, as the rendered world is for pictures. A word's contexts express its attributes:
the form that it has (a capital, a plural, a past tense: function words), and the row that it belongs to (france, paris,
french: the settings it is met in and the row's other forms). So word vectors that are learnt from contexts alone can
answer paris - france + rome. A document has one of eight topics, which makes some settings and rows more frequent;
every word occurs in documents of every topic.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._text.rows import rows, rows_of
from ssl_models.datasets._world_text import documents, truth
from ssl_models.datasets._world_text.documents import Documents
from ssl_models.datasets._world_text.grammar import WORDS
from ssl_models.datasets._world_text.lexicon import TOPICS

KIND = "text"


def load(
    *,
    seed: int,
    tokens: int = 500_000,
    length: int = 64,
    test_fraction: float = 0.1,
    topic: float = 1.0,
    noise: float = 0.1,
) -> Dataset:
    """tokens (N, length) int32, labels (N,) the topic of each row's document, and the factors below.

    tokens: words of both splits together, about. test_fraction: of the documents. topic: how much the topic tells in
    the words, 0 to 1; at 0 nothing tells it. noise: share of the words that are replaced by any of the vocabulary.
    factors: topic; place, the row of lexicon.PLACE that the document is about; length, words of the row; and document,
    counted over both splits. known: words and counts, similarity and analogies (_world_text/truth.py). The words are
    the same for every seed. Raises ValueError for a setting out of range, and where a split would have no document.
    """
    train, test = _documents(seed, tokens, length, test_fraction, topic, noise)
    drawn = documents.draw(train + test, topic, noise, np.random.default_rng(seed))
    known = _known(np.bincount(drawn.words[: drawn.lengths[:train].sum()], minlength=len(WORDS)))
    return Dataset(
        _split(drawn, 0, train, length), _split(drawn, train, train + test, length), tuple(TOPICS), known=known
    )


def count(
    *,
    seed: int = 0,
    tokens: int = 500_000,
    length: int = 64,
    test_fraction: float = 0.1,
    topic: float = 1.0,
    noise: float = 0.1,
) -> tuple[int, int]:
    """Number of training and test rows that `load` gives for these settings; checks them in the same way."""
    train, test = _documents(seed, tokens, length, test_fraction, topic, noise)
    taken = rows_of(documents.lengths_of(train + test, np.random.default_rng(seed)), length)
    return int(taken[:train].sum()), int(taken[train:].sum())


def describe(*, length: int = 64, **_: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape of a row, and what is known but for the counts, which stand at 1."""
    counts = np.ones(len(WORDS), np.int64)
    counts[0] = 0
    return {"tokens": (length,)}, _known(counts)


def _documents(
    seed: int, tokens: int, length: int, test_fraction: float, topic: float, noise: float
) -> tuple[int, int]:
    """How many documents each split has."""
    if seed < 0:
        raise ValueError(f"world_text seed is {seed}; it must not be negative")
    require_positive(tokens=tokens, length=length)
    require_fraction(topic=topic, noise=noise)
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction is {test_fraction}; it must lie between 0 and 1, both excluded")
    every = round(tokens / documents.MEAN)
    test = round(every * test_fraction)
    if not 0 < test < every:
        raise ValueError(
            f"tokens = {tokens} make {every} documents of about {documents.MEAN:.0f} words, and test_fraction = "
            f"{test_fraction} puts {test} of them into the test split; neither split may be empty"
        )
    return every - test, test


def _split(drawn: Documents, first: int, end: int, length: int) -> Split:
    """The rows of documents first, first + 1, ..., end - 1."""
    own = slice(first, end)
    start = int(drawn.lengths[:first].sum())
    lengths = drawn.lengths[own]
    tokens = torch.from_numpy(rows(drawn.words[start : start + lengths.sum()], lengths, length))
    taken = rows_of(lengths, length)
    of_rows = {
        name: torch.from_numpy(np.repeat(values, taken))
        for name, values in (
            ("topic", drawn.topics[own]),
            ("place", drawn.places[own]),
            ("document", np.arange(first, end)),
        )
    }
    factors = {name: values.float() for name, values in of_rows.items()} | {"length": (tokens > 0).sum(1).float()}
    return Split({"tokens": tokens}, of_rows["topic"].long(), factors)


def _known(counts: np.ndarray) -> dict[str, Any]:
    """For words that were drawn at least once; a tiny corpus may lack some."""
    there = {word for word, number in zip(WORDS, counts.tolist(), strict=True) if number}
    return {
        "words": list(WORDS),
        "counts": counts.tolist(),
        "similarity": [pair for pair in truth.similarities() if {pair[0], pair[1]} <= there],
        "analogies": {
            section: kept
            for section, questions in truth.analogies().items()
            if (kept := [question for question in questions if set(question) <= there])
        },
    }
