"""The files of a data set's source, and one hash of their names and contents: what the stages that read it depend on.

DVC's own hash of a folder passes by what links lead to, waits for ever at a pipe, and fails for a dangling link and for
a name that is not UTF-8. Hidden files and folders are left out: no reader takes them.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tasks.project.project import Project

MISSING, CIRCLE, UNREADABLE, SPECIAL = "missing", "circle", "unreadable", "special"
"""What stands for the content of: no file; a link to a folder above it; a file without permission; a pipe, a device."""
HASHES = "hashes.db"
Listed = tuple[bytes, str]
_OLDEST_TRUSTED = 2 * 10**9
"""Nanoseconds: a file changed so shortly before it was read could change again within the same tick of the clock."""


def listed(source: Path) -> Iterator[Listed]:
    """Each file below a source, links followed: its relative name in bytes, and its state.

    The state (size, times, inode) changes whenever the file changes. A source that is a file has the name b"".
    """
    real = source.resolve()
    above = [os.stat(folder) for folder in real.parents] if real.exists() else []
    yield from _listed(os.fsencode(source), b"", tuple((found.st_dev, found.st_ino) for found in above))


def state(source: Path) -> str:
    """A hash of all names and states; no file is opened."""
    digest = hashlib.sha256()
    for name, found in listed(source):
        digest.update(b"%s\0%s\0" % (name, found.encode()))
    return digest.hexdigest()


def fingerprint(project: Project, source: Path) -> str:
    """16 hexadecimal digits of all names and contents. A file that was hashed before and not touched is not read."""
    files = list(listed(source))
    known = _Known(project, source)
    digest = hashlib.sha256()
    for name, found in files:
        digest.update(b"%s\0%s\0" % (name, known.hash_of(name, found).encode()))
    known.keep()
    return digest.hexdigest()[:16]


def _listed(path: bytes, name: bytes, above: tuple[tuple[int, int], ...]) -> Iterator[Listed]:
    try:
        found = os.stat(path)
    except OSError as error:
        yield name, CIRCLE if error.errno == errno.ELOOP else MISSING
        return
    if not stat.S_ISDIR(found.st_mode):
        regular = stat.S_ISREG(found.st_mode)
        yield name, f"{found.st_size}.{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_ino}" if regular else SPECIAL
        return
    place = (found.st_dev, found.st_ino)
    if place in above:
        yield name, CIRCLE
        return
    try:
        members = sorted(member for member in os.listdir(path) if not member.startswith(b"."))
    except PermissionError:
        yield name, UNREADABLE
        return
    for member in members:
        inner = name + b"/" + member if name else member
        yield from _listed(path + b"/" + member, inner, (*above, place))


class _Known:
    """The hashes of a source's files, kept by their states in a database of the project."""

    def __init__(self, project: Project, source: Path) -> None:
        self._source = os.fsencode(source)
        self._path = project.state / HASHES
        self._new: dict[bytes, tuple[str, str]] = {}
        self._old: dict[bytes, tuple[str, str]] = {}
        try:
            with closing(self._open()) as database:
                rows = database.execute("SELECT name, state, hash FROM files WHERE source = ?", (self._source,))
                self._old = {name: (found, content) for name, found, content in rows}
        except sqlite3.DatabaseError:  # it holds nothing that cannot be made again
            self._path.unlink(missing_ok=True)

    def hash_of(self, name: bytes, found: str) -> str:
        if found in (MISSING, CIRCLE, UNREADABLE, SPECIAL):
            return found
        if self._old.get(name, ("", ""))[0] == found:
            return self._old[name][1]
        path = self._source + b"/" + name if name else self._source
        try:
            with open(path, "rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
        except PermissionError:
            return UNREADABLE
        except OSError:
            return MISSING
        self._new[name] = (found, content)
        return content

    def keep(self) -> None:
        """Writes what was hashed, but for files changed a moment ago. Another process that writes it wins."""
        trusted = time.time_ns() - _OLDEST_TRUSTED
        rows = [
            (self._source, name, found, content)
            for name, (found, content) in self._new.items()
            if max(int(part) for part in found.split(".")[1:3]) < trusted
        ]
        if rows:
            try:
                with closing(self._open()) as database, database:
                    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
            except sqlite3.Error:
                return

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(self._path, timeout=20)
        database.execute(
            "CREATE TABLE IF NOT EXISTS files (source BLOB, name BLOB, state TEXT, hash TEXT, "
            "PRIMARY KEY (source, name)) WITHOUT ROWID"
        )
        return database
