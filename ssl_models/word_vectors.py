"""Vectors of words in the formats of word2vec's own code (Mikolov et al. 2013), which gensim, fastText and spaCy read.

Both begin with a line "V D": how many words, and how many numbers each has. Then, for each word,

    text    a line: the word and D decimal numbers, with a blank between any two
    binary  the word, a blank, D float32 numbers (little-endian), a line feed

Words are UTF-8. numpy only. Legend: V words, D numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy import ndarray

TEXT, BINARY = "text", "binary"
FORMATS = {".txt": TEXT, ".vec": TEXT, ".bin": BINARY}
ZIPPED = ".gz"
"""May follow the suffix of either format."""
DIGITS = 8
"""Of each number in the first line: no more is read than a file could hold."""
LONGEST_WORD = 2**16
"""Bytes that are looked through for the blank after a word."""


def format_of(path: Path) -> tuple[str, bool]:
    """By a file's suffix: "text" or "binary", and whether gzip compresses it. Raises ValueError for any other."""
    name = path.name.lower()
    plain = name.removesuffix(ZIPPED)
    found = FORMATS.get(Path(plain).suffix)
    if found is None:
        known = ", ".join(FORMATS)
        raise ValueError(f"the suffix of {path.name!r} tells no format; use {known}, or one of these with {ZIPPED}")
    return found, plain != name


def write(file: BinaryIO, words: Sequence[str], vectors: ndarray, kind: str) -> None:
    """Writes V words and their vectors (V, D) as float32. kind: "text" or "binary".

    A number is written to text in the fewest digits from which the same float32 is read.
    Raises ValueError, before anything is written, for words that the format cannot hold, for a word that stands twice,
    and for vectors that are not finite or not one for each word.
    """
    rows = np.ascontiguousarray(vectors, "<f4")
    _refuse(words, rows)
    file.write(f"{len(words)} {rows.shape[1]}\n".encode())
    for word, row in zip(words, rows, strict=True):
        text = word.encode() + b" "
        if kind == BINARY:
            file.write(text + row.tobytes() + b"\n")
        else:
            file.write(text + " ".join(map(str, row)).encode() + b"\n")


def read(file: BinaryIO, kind: str) -> tuple[list[str], ndarray]:
    """The V words and their vectors (V, D) float32 of such a file. kind: "text" or "binary".

    Files of word2vec's own code (a blank at the end of a line of text) and of gensim (no line feed in binary) are read
    too. Raises ValueError, with the line or the word, for a file that is cut short, goes on, or is something else.
    """
    header = file.readline(LONGEST_WORD).split()
    if len(header) != 2 or not all(number.isdigit() and len(number) <= DIGITS and int(number) for number in header):
        raise ValueError("the first line must be two whole numbers: how many words, and how many numbers each has")
    count, size = int(header[0]), int(header[1])
    words, rows = [], []
    for word, row in (_binary if kind == BINARY else _lines)(file, count, size):
        words.append(word)
        rows.append(row)
    if file.read(LONGEST_WORD).strip():
        raise ValueError(f"the first line tells of {count} words, and more follow")
    return words, np.stack(rows)


def _refuse(words: Sequence[str], rows: ndarray) -> None:
    if not words or rows.ndim != 2 or len(rows) != len(words) or not rows.shape[1]:
        raise ValueError(f"vectors of shape {rows.shape} for {len(words)} words; give one for each, at least one")
    if not np.isfinite(rows).all():
        raise ValueError("the vectors are not finite")
    for word in words:
        if word.split() != [word]:
            raise ValueError(f"the word {word!r} is empty or has a blank in it, which separates words from numbers")
        try:
            word.encode()
        except UnicodeEncodeError:
            raise ValueError(f"the word {word!r} cannot be written as UTF-8") from None
    if (twice := Counter(words).most_common(1)[0])[1] > 1:
        raise ValueError(f"the word {twice[0]!r} stands twice")


def _lines(file: BinaryIO, count: int, size: int) -> Iterator[tuple[str, ndarray]]:
    for line in range(2, count + 2):
        content = file.readline()
        if not content.endswith(b"\n"):
            where = f"in line {line}" if content else f"after {line - 2}"
            raise ValueError(f"the first line tells of {count} words, and the file ends {where}")
        word, *numbers = content.rstrip().split(b" ")
        if len(numbers) != size:
            raise ValueError(f"line {line} has {len(numbers)} numbers; the first line tells of {size}")
        try:
            yield word.decode(), np.array(numbers, np.float32)
        except ValueError as error:  # also of UnicodeDecodeError
            raise ValueError(f"line {line} cannot be read: {error}") from None


def _binary(file: BinaryIO, count: int, size: int) -> Iterator[tuple[str, ndarray]]:
    for number in range(1, count + 1):
        word = _word(file)
        row = file.read(4 * size)
        if len(row) < 4 * size:
            raise ValueError(f"the first line tells of {count} words, and the file ends in number {number}")
        try:
            yield word.decode(), np.frombuffer(row, "<f4").astype(np.float32)
        except UnicodeDecodeError:
            raise ValueError(f"word number {number}, {word[:40]!r}, is not UTF-8") from None


def _word(file: BinaryIO) -> bytes:
    """The bytes before the next blank, without the line feed that ends the vector before."""
    found = bytearray()
    while len(found) < LONGEST_WORD and (byte := file.read(1)) not in (b" ", b""):
        found += byte
    return bytes(found).lstrip(b"\n")
