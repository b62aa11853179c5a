"""Text of one's own: a file, plain or gzip, or a folder of them; its documents, and a vocabulary of their words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ssl_models.bounds import require_choice, require_positive
from ssl_models.datasets._common.split import Dataset, Split
from ssl_models.datasets._text import gold
from ssl_models.datasets._text.corpus import DOCUMENTS, Corpus
from ssl_models.datasets._text.listing import list_texts
from ssl_models.datasets._text.rows import rows, rows_of
from ssl_models.datasets._text.vocabulary import STAND_IN, Documents, Parted, part

KIND = "text"
COUNTED = 2**24
"""Bytes of text that `count` reads at most; beyond them it estimates."""


def load(
    *,
    seed: int,
    source: str,
    documents: str = "auto",
    length: int = 64,
    min_count: int = 5,
    vocabulary: int = 50_000,
    lower: bool = True,
    test_fraction: float = 0.1,
    similarity: str = "",
    analogies: str = "",
) -> Dataset:
    """tokens (N, length) int32 without labels; known: words, counts, and similarity and analogies where they are named.

    source: a text file in UTF-8, plain or gzip, or a folder, of which all .txt and .txt.gz are read, at any depth.
    documents: what one document is: a line (`lines`), what lies between blank lines (`blank_lines`), or a file
        (`files`). `auto` takes lines where there is one file, and files otherwise.
    length: words of a row. A document is cut into as many rows as it needs.
    min_count, vocabulary: a word is learnt that the training split has min_count times, and of these the `vocabulary`
        most frequent ones (word2vec's min-count is 5). Other words are dropped, and their neighbours move together, as
        in word2vec. lower: capitals are made small.
    test_fraction: of the documents, drawn with `seed`.
    similarity, analogies: files of pairs and of analogies (gold.py), in the source's folder or in $COVEY_DATA, such as
        wordsim353.tsv and questions-words.txt. Those of words outside the vocabulary are left out, which a note tells.
    Bytes that are not UTF-8 are read as no letter, and counted in the notes. In a folder a file that cannot be read is
    named in `skipped`. Raises FileNotFoundError for a file that is missing, ValueError for settings out of range, and
    for a source that holds no text, one document only, or no word that is frequent enough.
    """
    _check(length, vocabulary, min_count, test_fraction, documents)
    lists = _Lists.read(Path(source).expanduser(), similarity, analogies, lower)
    corpus, found = _parted(source, lists, Corpus(documents, lower), seed, test_fraction, min_count, vocabulary)
    known, told = lists.known(found)
    left = 1 - found.covered
    words = f"{len(found.words) - 1:,} words; {left:.1%} of the training split's words are others and left out"
    return Dataset(
        Split({"tokens": torch.from_numpy(rows(found.train.ids, found.train.lengths, length))}),
        Split({"tokens": torch.from_numpy(rows(found.test.ids, found.test.lengths, length))}),
        skipped=tuple(corpus.skipped),
        notes=(*corpus.notes, words, *told),
        known=known,
    )


def count(
    *,
    source: str,
    seed: int = 0,
    documents: str = "auto",
    length: int = 64,
    min_count: int = 5,
    vocabulary: int = 50_000,
    lower: bool = True,
    test_fraction: float = 0.1,
    similarity: str = "",
    analogies: str = "",
) -> tuple[int, int]:
    """Number of training and test rows that `load` gives for these settings; checks them in the same way.

    Of more than COUNTED bytes of text the rest is estimated by the size of the files.
    """
    _check(length, vocabulary, min_count, test_fraction, documents)
    lists = _Lists.read(Path(source).expanduser(), similarity, analogies, lower)
    read = Corpus(documents, lower, most=COUNTED)
    corpus, found = _parted(source, lists, read, seed, test_fraction, min_count, vocabulary)
    train, test = (round(_rows(split, length) / corpus.share) for split in (found.train, found.test))
    return train, test


def describe(*, length: int = 64, **_: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """The shape of a row, and a vocabulary that stands for the one that only the text can tell."""
    return {"tokens": (length,)}, dict(STAND_IN)


def _rows(split: Documents, length: int) -> int:
    return int(rows_of(split.lengths, length).sum())


def _parted(
    source: str, lists: _Lists, corpus: Corpus, seed: int, test_fraction: float, min_count: int, vocabulary: int
) -> tuple[Corpus, Parted]:
    """Reads the source into `corpus` and splits it. Errors name the source."""
    root = Path(source).expanduser()
    listing = list_texts(root, lists.paths)
    if corpus.documents == "auto":
        corpus.documents = "files" if len(listing.paths) > 1 else "lines"
    corpus.skipped += listing.skipped
    corpus.notes += listing.notes
    corpus.read(listing.paths, root)
    if corpus.skipped and not len(corpus.ids):
        raise ValueError(f"'{source}' holds no text that can be read; {corpus.skipped[0]}")
    try:
        return corpus, part(
            corpus.ids,
            corpus.lengths,
            corpus.words,
            seed=seed,
            test_fraction=test_fraction,
            min_count=min_count if corpus.share == 1 else max(1, min_count * corpus.share),
            most=vocabulary,
        )
    except ValueError as error:
        raise ValueError(f"'{source}': {error}") from error


@dataclass(frozen=True)
class _Lists:
    """The lists that were named in the settings, and the files that they come from."""

    similarity: list[gold.Pair] | None
    analogies: gold.Questions | None
    paths: tuple[Path, ...]

    @classmethod
    def read(cls, source: Path, similarity: str, analogies: str, lower: bool) -> _Lists:
        folder = source if source.is_dir() else source.parent
        pairs = gold.find(similarity, folder, "similarity") if similarity else None
        questions = gold.find(analogies, folder, "analogies") if analogies else None
        return cls(
            gold.similarity(pairs, lower) if pairs else None,
            gold.analogies(questions, lower) if questions else None,
            tuple(path for path in (pairs, questions) if path),
        )

    def known(self, found: Parted) -> tuple[dict[str, Any], list[str]]:
        """Dataset.known, and a note for each list of which some is left out."""
        words, notes = set(found.words[1:]), []
        known: dict[str, Any] = {"words": found.words, "counts": found.counts.tolist()}
        if self.similarity is not None:
            known["similarity"] = gold.kept_pairs(self.similarity, words)
            notes += _told("pairs of similar words", len(known["similarity"]), len(self.similarity))
        if self.analogies is not None:
            known["analogies"] = gold.kept_questions(self.analogies, words)
            kept, every = (sum(map(len, lists.values())) for lists in (known["analogies"], self.analogies))
            notes += _told("analogies", kept, every)
        return known, notes


def _told(what: str, kept: int, every: int) -> list[str]:
    if kept == every:
        return []
    return [f"{kept:,} of {every:,} {what} are kept; the others have a word outside the vocabulary"]


def _check(length: int, vocabulary: int, min_count: int, test_fraction: float, documents: str) -> None:
    require_positive(length=length, vocabulary=vocabulary, min_count=min_count)
    require_choice("documents", documents, DOCUMENTS)
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction is {test_fraction}; it must lie between 0 and 1, both excluded")
