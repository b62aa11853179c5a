"""What tests of the reader of text share: writing files, and rows as text."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from ssl_models.datasets._common.split import Dataset, Split

LINES = [f"The cat number {number} isn't on the mat, it says word{number}!" for number in range(10)]
TEXT = "\n".join(LINES)
QUICK: dict[str, Any] = {"seed": 0, "min_count": 1}


def write(path: Path, content: str | bytes = TEXT) -> str:
    """A file of the content, packed where its name ends with .gz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data, 1, mtime=0) if path.suffix == ".gz" else data)
    return str(path)


def rows(split: Split, data: Dataset) -> list[str]:
    """The rows as text."""
    words = data.known["words"]
    return [" ".join(words[word] for word in row if word) for row in split.parts["tokens"].tolist()]


def every_row(data: Dataset) -> list[str]:
    """Of both splits, sorted."""
    return sorted(rows(data.train, data) + rows(data.test, data))
