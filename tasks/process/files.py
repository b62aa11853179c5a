"""Atomic writes: after a crash a file has either its old content or its new one. Also reading, JSON and file states."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tasks.process.faults import is_out_of_memory


class UnreadableFile(ValueError):
    """A file that is there and cannot be read: damaged, cut short, or of another form. The text names it."""

    def __init__(self, path: Path, words: str) -> None:
        super().__init__(f"{path}{words}")
        self.path = path


def is_temporary(path: Path) -> bool:
    """Whether this is a temporary file of `whole_file`, `.NAME.PID.tmp`, which a killed process may leave."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames that file to `path` when the block ends.

    After an error the temporary file is removed and `path` is unchanged.
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
    """Size, times and inode of a file; for a folder also the names and states of all files in it.

    Ignores __pycache__. "missing" if the path does not exist.
    """
    return " ".join(_states(path))


def stat_text(found: os.stat_result) -> str:
    """Size, times and inode: the system changes one whenever the file changes."""
    return f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_ino}"


def _states(path: Path) -> Iterator[str]:
    try:
        found = path.stat()
    except OSError:
        yield "missing"
        return
    if not path.is_dir():
        yield stat_text(found)
        return
    with os.scandir(path) as members:
        for member in sorted(members, key=lambda entry: entry.name):
            if member.name != "__pycache__":
                yield from (f"{member.name}/{state}" for state in _states(Path(member.path)))


def write_json(path: Path, content: Any) -> None:
    """Writes `content` atomically, with an indent of 1. Raises ValueError for NaN and infinity: JSON has neither."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


@contextmanager
def legible(path: Path) -> Iterator[None]:
    """Raises UnreadableFile for whatever the block makes of the content of `path`."""
    try:
        yield
    except Exception as error:  # readers of weights, arrays and archives raise many types
        of_system = isinstance(error, OSError) and error.errno not in (None, errno.EINVAL)  # EINVAL: torch, a cut file
        if isinstance(error, UnreadableFile) or of_system or is_out_of_memory(error):
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableFile(path, f" cannot be read ({said[:120]})") from error


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises UnreadableFile."""
    with legible(path):
        return json.loads(path.read_text())


def remembered(path: Path) -> dict[str, Any]:
    """The JSON object in a file that is written anew where it is missing: empty if it is missing or unreadable."""
    try:
        content = read_json(path)
    except (FileNotFoundError, UnreadableFile):
        return {}
    return content if isinstance(content, dict) else {}
