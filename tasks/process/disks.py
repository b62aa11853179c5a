"""A disk that is full: how those who write to it say so, and the one sentence that is said of it."""

from __future__ import annotations

import configparser
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

NUMBERS = {errno.ENOSPC, errno.EDQUOT}
QUOTA = "Disk quota exceeded"
TOLD = re.compile(
    r"No space left on device"
    rf"|{QUOTA}"
    r"|enforce fail at inline_container|PytorchStreamWriter failed"  # torch.save
    r"|database or disk is full"  # SQLite
    r"|No usable temporary directory found"
    r"|\b\d+ requested and \d+ written"  # numpy.save
)
NEEDED = 16 * 2**20
"""Bytes that the databases and logs of a run take at the least."""
LEFT_OVER = 2**16
"""A disk with fewer bytes than these has no room for a line in a log."""


def is_full(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, comes from a disk or a quota that is full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if (isinstance(error, OSError) and error.errno in NUMBERS) or told_in(str(error)):
            return True
        error = error.__cause__ or error.__context__
    return False


def told_in(text: str) -> bool:
    """Whether words of torch, numpy, SQLite, DVC or the system say that a disk is full."""
    return TOLD.search(text) is not None


def sentence(folder: Path, error: BaseException | None = None) -> str:
    """What is said of a full disk. error: it may name the file; else it is the fullest disk that the project uses."""
    named = getattr(error, "filename", None)
    place = _existing(Path(named)) if isinstance(named, str) else fullest(of_project(folder))
    if (isinstance(error, OSError) and error.errno == errno.EDQUOT) or QUOTA in str(error):
        return f"your quota on the disk that holds {place} is used up; free some, then `covey run` again"
    return (
        f"the disk that holds {place} is full ({free(place) / 2**20:,.0f} MB free); free some, then `covey run` again"
    )


def of_project(root: Path) -> list[Path]:
    """The folders that a project writes to: itself, those in it, DVC's cache, and the system's for temporary files.

    Each may lie on a disk of its own. Left out is what cannot be written and what does not tell its room.
    """
    caches = [root / ".dvc" / "cache"]
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(root / ".dvc" / name)
        except (configparser.Error, UnicodeDecodeError):
            continue
        if folder := parser.get("cache", "dir", fallback=""):
            caches.append(root / ".dvc" / folder)
    with suppress(FileNotFoundError):  # on a disk so full that Python finds no folder that it can write to
        caches.append(Path(tempfile.gettempdir()))
    found = dict.fromkeys((root, *sorted(root.glob("*")), *caches))
    return [path for path in found if path.is_dir() and os.access(path, os.W_OK) and shutil.disk_usage(path).total]


def require_room(root: Path, state: Path) -> None:
    """Raises OSError where a run could not even write its databases and logs (in `state`), or nothing at all."""
    if free(state if state.is_dir() else root) < NEEDED or free(fullest(of_project(root))) < LEFT_OVER:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fullest(folders: Iterable[Path]) -> Path:
    """The folder whose disk has the least room; of two on one disk, the first."""
    return min(folders, key=free)


def free(folder: Path) -> int:
    """Bytes that may still be written to the disk that holds `folder`."""
    return shutil.disk_usage(folder).free


def _existing(path: Path) -> Path:
    """The folder of a file that may be gone."""
    return next((folder for folder in path.absolute().parents if folder.is_dir()), Path("/"))
