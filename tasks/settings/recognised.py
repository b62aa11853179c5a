"""Which reader reads a folder or a file, by the suffixes of what it holds."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

from ssl_models.datasets._common.pictures import SUFFIXES as PICTURES
from ssl_models.datasets._common.suffixes import SOUNDS, TEXTS, VECTORS, VIDEOS
from ssl_models.datasets._pictures import shards

TABLES, TARS = frozenset({".parquet"}), frozenset({".tar"})
READERS = (
    ("folder", PICTURES),
    ("video_folder", VIDEOS),
    ("sound_folder", SOUNDS - VIDEOS),
    ("text", TEXTS),
    ("parquet", TABLES),
    ("webdataset", TARS),
)
"""Readers of one's own data, and the suffixes of the files by which they are taken; of equally many the first counts.

Others must be named: video_sound_folder and sound_folder read the files of video_folder too, and a folder of folders of
pictures that are frames (frame_folders) looks like one of class folders."""
OF_PATTERNS = (("parquet", TABLES), ("webdataset", TARS))
OF_FILES = (("text", TEXTS), ("vectors", VECTORS), *OF_PATTERNS)
"""Those that read a single file, and among them those that read NAME-{000..007}. A folder of tables is not read."""
ENOUGH = 10_000
"""Files that are looked at."""
LINES, LONGEST = 100, 2**16
"""How many lines of a text are looked at, and how many bytes."""


def reader_of(path: Path) -> str | None:
    """The reader of most of the files in a folder, or of a file or a pattern; None for a file that none reads.

    A folder that holds nothing known is given to the reader of pictures, which says what it lacks.
    """
    if not path.is_dir():
        of_files = OF_PATTERNS if shards.is_pattern(path) else OF_FILES
        name = shards.expanded(path)[0].name
        reader = next((reader for reader, suffixes in of_files if _suffix(name) in suffixes), None)
        return "picture_list" if reader == "text" and _lists_pictures(path) else reader
    found: Counter[str] = Counter()
    for _, folders, names in os.walk(path):
        folders.sort()
        for name in names:
            found.update(reader for reader, suffixes in READERS if _suffix(name) in suffixes)
        if found.total() >= ENOUGH:
            break
    return max((reader for reader, _ in READERS), key=lambda reader: found[reader])


def _lists_pictures(path: Path) -> bool:
    """Whether most of the first lines are paths of pictures, to judge by their suffixes."""
    if _suffix(path.name) != ".txt":
        return False
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST).decode("utf-8-sig", "replace")
    except OSError:
        return False
    lines = [line.strip() for line in text.splitlines()[:LINES] if line.strip()]
    return bool(lines) and 2 * sum(_suffix(os.path.basename(line)) in PICTURES for line in lines) > len(lines)


def _suffix(name: str) -> str:
    """ "a.TXT.gz" -> ".txt.gz", "b.PNG" -> ".png"; empty for hidden files."""
    if name.startswith("."):
        return ""
    stem, suffix = os.path.splitext(name.lower())
    return os.path.splitext(stem)[1] + suffix if suffix == ".gz" else suffix
