"""The folder of an export: where one may be written, and that it appears whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.artifacts.writable import cannot
from tasks.process import disks, user
from tasks.process.files import remembered, write_json
from tasks.settings.values import shown

MARK = "export.json"
"""It says what the folder holds: a folder is replaced only where it holds nothing else."""
COMPILED = "__pycache__"
"""Python leaves it where an export's code was loaded."""


def refuse(folder: Path, *, force: bool) -> None:
    """Raises ParameterError for a place where no export can be written."""
    try:
        _refuse(folder, force)
    except (ValueError, OSError) as error:
        raise cannot(folder, error) from None


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yields a new folder beside `folder`, and renames it when the block ends; it replaces an earlier export.

    After an error it is removed, and `folder` is unchanged. Raises ParameterError for a fault of the system.
    """
    temporary, old = (folder.with_name(f".{folder.name[:200]}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    try:
        temporary.mkdir()
        yield temporary
        write_json(temporary / MARK, {"made_by": "covey export", "files": sorted([*os.listdir(temporary), MARK])})
        if folder.exists():
            folder.rename(old)
        try:
            temporary.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    except OSError as error:
        if disks.is_full(error):
            raise
        raise cannot(folder, error) from None
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def _refuse(folder: Path, force: bool) -> None:
    """Raises ValueError, or OSError for a path that the system refuses."""
    str(folder).encode()
    if os.path.lexists(folder) and (folder.is_symlink() or not folder.is_dir()):
        raise ValueError("it is there and is no folder")
    if not folder.parent.is_dir():
        raise ValueError("the folder that it is to lie in is not there; make it first")
    found = set(os.listdir(folder)) if folder.is_dir() else set()
    if found and not force:
        raise ValueError("it is not empty; --force replaces an earlier export")
    if other := sorted(found - {COMPILED} - set(remembered(folder / MARK).get("files") or ())):
        raise ValueError(f"it holds {shown(other[0])}, which is of no earlier export; name another folder")
    if closed := user.not_writable([folder.parent, folder]):
        raise ValueError(f"user {os.getuid()} may not write {'it' if folder in closed else 'into its folder'}")
