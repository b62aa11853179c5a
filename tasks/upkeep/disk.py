"""What files really take on a disk: blocks, and of several links to one file only one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

BLOCK = 512
"""Bytes of the unit that `st_blocks` counts in."""
DAY = 24 * 3600.0


def files_in(path: Path) -> Iterator[Path]:
    """The files of a folder at any depth, or the file itself. Links to folders are not followed."""
    if path.is_symlink() or path.is_file():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder) / name for name in names)


def used(paths: Iterable[Path]) -> int:
    """Bytes that files and folders take."""
    return sum(size for size, _, _ in _inodes(paths).values())


def freed(paths: Iterable[Path]) -> int:
    """Bytes that are free once they are removed: a file with a link elsewhere stays.

    Clones of one file (reflinks) count in full, since the file system does not tell them.
    """
    return sum(size for size, links, found in _inodes(paths).values() if found >= links)


def age(path: Path) -> float:
    """Days since a file, or the newest file of a folder, was written."""
    newest = 0.0
    for each in (path, *files_in(path)):
        with suppress(OSError):
            newest = max(newest, each.lstat().st_mtime)
    return (time.time() - newest) / DAY


def _inodes(paths: Iterable[Path]) -> dict[tuple[int, int], tuple[int, int, int]]:
    """(device, inode) -> bytes, links that there are, links that were met."""
    found: dict[tuple[int, int], tuple[int, int, int]] = {}
    seen: set[Path] = set()
    for path in paths:
        for file in files_in(path):
            if file in seen:
                continue
            seen.add(file)
            with suppress(OSError):
                state = file.lstat()
                key = (state.st_dev, state.st_ino)
                met = found[key][2] if key in found else 0
                found[key] = (state.st_blocks * BLOCK, state.st_nlink, met + 1)
    return found
