"""Which words of a corpus are learnt, and the splits made of them: the test split has no say in the vocabulary.

Legend: D documents, M words of all of them together, V words of the vocabulary with the first, which is no word.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy import ndarray

BLOCK = 2**22
"""Words that are counted at once."""
STAND_IN = {"words": ["", *(f"word{number}" for number in range(1, 33))], "counts": [0, *range(32, 0, -1)]}
"""What is known of a corpus that has not been read, enough to build an encoder and a method."""


@dataclass(frozen=True)
class Documents:
    """A split: ids (M,) int32 of the vocabulary, and how many of them each document has (D,), none of them 0."""

    ids: ndarray
    lengths: ndarray


@dataclass(frozen=True)
class Parted:
    """Both splits, and the vocabulary by falling count: words (V), counts (V,) in the training split.

    covered: the share of the training split's words that the vocabulary has.
    """

    train: Documents
    test: Documents
    words: list[str]
    counts: ndarray
    covered: float


def part(
    ids: ndarray, lengths: ndarray, words: list[str], *, seed: int, test_fraction: float, min_count: float, most: int
) -> Parted:
    """Splits documents at random and keeps at most `most` words that the training split has `min_count` times.

    ids (M,) and lengths (D,): a corpus; words: what its ids stand for. Other words are dropped, and so are documents
    that keep none. Words of equal counts are in alphabetical order. Raises ValueError, which does not name the source,
    for fewer than two documents, no word that is frequent enough, and a test split without any such word.
    """
    _check(lengths, words)
    in_test = np.zeros(len(lengths), bool)
    test = min(max(round(len(lengths) * test_fraction), 1), len(lengths) - 1)
    in_test[np.random.default_rng(seed).permutation(len(lengths))[:test]] = True
    is_test = np.repeat(in_test, lengths)
    every = _counts(ids, ~is_test, len(words))
    order = sorted(np.flatnonzero(every >= min_count).tolist(), key=lambda word: (-every[word], words[word]))[:most]
    if not order:
        top = int(every.argmax())
        raise ValueError(
            f"no word occurs min_count = {min_count:g} times in the training documents; the most frequent, "
            f"'{words[top]}', occurs {every[top]:,} times. Lower min_count, or give more text"
        )
    table = np.zeros(len(words), np.int32)
    table[order] = np.arange(1, len(order) + 1, dtype=np.int32)
    new = table[ids]
    train, held_out = (_kept(new, is_test == side, lengths[in_test == side]) for side in (False, True))
    if not len(held_out.ids):
        raise ValueError(
            f"none of the {test:,} test documents holds a word of the vocabulary; raise test_fraction, or lower "
            "min_count"
        )
    counts = np.concatenate([[0], every[order]])
    return Parted(train, held_out, ["", *(words[word] for word in order)], counts, counts.sum() / every.sum())


def _counts(ids: ndarray, own: ndarray, words: int) -> ndarray:
    """(words,) how often each id that is `own` occurs; by blocks, for bincount copies what it counts to int64."""
    found = np.zeros(words, np.int64)
    for start in range(0, len(ids), BLOCK):
        block = slice(start, start + BLOCK)
        found += np.bincount(ids[block][own[block]], minlength=words)
    return found


def _kept(new: ndarray, own: ndarray, lengths: ndarray) -> Documents:
    """The documents whose words are `own`, without the words that became 0, and without documents that were left so."""
    ids = new[own]
    there = ids > 0
    kept = np.add.reduceat(there, np.concatenate([[0], lengths.cumsum()[:-1]]), dtype=np.int64)
    return Documents(ids[there], kept[kept > 0])


def _check(lengths: ndarray, words: list[str]) -> None:
    if not words or not len(lengths):
        raise ValueError("it holds no words")
    if len(lengths) < 2:
        raise ValueError(
            "it is one document only, and none is left for the test split; set `documents` to what parts it (lines, "
            "blank_lines, files), or put a line break after each document"
        )
