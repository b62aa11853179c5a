"""Lists that word vectors are tested by: pairs of words with a similarity, and analogies by section."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ssl_models.datasets._common import files
from ssl_models.datasets._text.stream import Stream

Pair = list[str | float]
Questions = dict[str, list[list[str]]]


def find(name: str, folder: Path, setting: str) -> Path:
    """The file `name`: as it is where it is absolute, in `folder`, or in $COVEY_DATA.

    Raises FileNotFoundError, which names the setting and the places, ValueError for what is no file.
    """
    data = os.environ.get("COVEY_DATA")
    given = Path(name).expanduser()
    places = [folder / given, *([Path(data) / given] if data else [])]
    for place in places:
        if place.exists():
            return _readable(place)
    looked = " nor ".join(f"'{place}'" for place in dict.fromkeys(places))
    raise FileNotFoundError(f"{setting} = '{name}' was not found: there is neither {looked}")


def similarity(path: Path, lower: bool) -> list[Pair]:
    """[word, word, score] of each line WORD WORD SCORE, parted by tabs, commas or spaces; # begins a comment.

    The first line may be a heading. Further columns are passed over. Raises ValueError for any other line.
    """
    found: list[Pair] = []
    heading = True
    for number, line in _lines(path, lower):
        if line.startswith("#"):
            continue
        first, second, score, *_ = [*re.split(r"\s*[\t,]\s*" if re.search("[\t,]", line) else r"\s+", line), "", ""]
        value = _number(score)
        if first and second and value is not None:
            found.append([first, second, value])
        elif not heading:
            raise ValueError(f"'{path}', line {number}: '{line[:80]}' is not WORD WORD SCORE")
        heading = False
    if not found:
        raise ValueError(f"'{path}' has no line WORD WORD SCORE")
    return found


def analogies(path: Path, lower: bool) -> Questions:
    """Section -> [a, b, c, d], of lines of four words below lines `: section`, as in questions-words.txt.

    Raises ValueError for any other line.
    """
    found: Questions = {}
    section = "analogies"
    for number, line in _lines(path, lower=False):
        if line.startswith(":"):
            section = line[1:].strip() or section
            continue
        question = (line.lower() if lower else line).split()
        if len(question) != 4:
            raise ValueError(f"'{path}', line {number}: '{line[:80]}' is neither four words nor ': section'")
        found.setdefault(section, []).append(question)
    if not found:
        raise ValueError(f"'{path}' has no line of four words")
    return found


def kept_pairs(pairs: list[Pair], words: set[str]) -> list[Pair]:
    """Those of which the vocabulary has both words."""
    return [pair for pair in pairs if pair[0] in words and pair[1] in words]


def kept_questions(questions: Questions, words: set[str]) -> Questions:
    """Those of which the vocabulary has all words; sections that keep none are left out."""
    found = {name: [own for own in every if words.issuperset(own)] for name, every in questions.items()}
    return {name: own for name, own in found.items() if own}


def _readable(path: Path) -> Path:
    if why := files.fault(path):
        raise ValueError(f"'{path}': {why}")
    return path


def _lines(path: Path, lower: bool) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    try:
        for number, (text, _) in enumerate(Stream(path).pieces(), 1):
            if line := text.strip().removeprefix("\ufeff"):
                yield number, line.lower() if lower else line
    except ValueError as error:
        raise ValueError(f"'{path}': {error}") from error


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
