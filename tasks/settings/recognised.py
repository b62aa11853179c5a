"""Which reader reads a folder or a file, by the suffixes of what it holds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from ssl_models.datasets._common.pictures import SUFFIXES as PICTURES
from ssl_models.datasets._common.suffixes import SOUNDS, TEXTS

READERS = (("folder", PICTURES), ("sound_folder", SOUNDS), ("text", TEXTS))
"""Readers of one's own data, and the suffixes of the files that they read; of equally many the first counts."""
ENOUGH = 10_000
"""Files that are looked at."""


def reader_of(path: Path) -> str | None:
    """The reader of most of the files in a folder, or of a file; None for a file that none reads.

    A folder that holds nothing known is given to the reader of pictures, which says what it lacks.
    """
    if path.is_file():
        return "text" if _suffix(path.name) in TEXTS else None
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(path):
        folders.sort()
        for name in names:
            found.update(reader for reader, suffixes in READERS if _suffix(name) in suffixes)
        if found.total() >= ENOUGH:
            break
    return max((reader for reader, _ in READERS), key=lambda reader: found[reader])


def _suffix(name: str) -> str:
    """ "a.TXT.gz" -> ".txt.gz", "b.PNG" -> ".png"; empty for hidden files."""
    if name.startswith("."):
        return ""
    stem, suffix = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] + suffix if suffix == ".gz" else suffix
