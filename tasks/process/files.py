"""Files that are written whole or not at all, whatever ends the process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def is_temporary(path: Path) -> bool:
    """Whether a killed process left this file: `.NAME.PID.tmp` is never read."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there takes the name `path` only when it is complete.

    On an error, a full disk among them, the temporary file is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def state_of(path: Path) -> str:
    """What the system changes when a file, or a file in a folder, changes: names, sizes, times, inodes.

    Compiled Python apart. "missing" where there is nothing.
    """
    return " ".join(_states(path))


def _states(path: Path) -> Iterator[str]:
    try:
        found = path.stat()
    except OSError:
        yield "missing"
        return
    if not path.is_dir():
        yield f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_ino}"
        return
    with os.scandir(path) as members:
        for member in sorted(members, key=lambda entry: entry.name):
            if member.name != "__pycache__":
                yield from (f"{member.name}/{state}" for state in _states(Path(member.path)))


def write_json(path: Path, content: Any) -> None:
    """Writes `content` whole, indented by one. Raises ValueError for NaN and infinity, which JSON does not know."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text())
