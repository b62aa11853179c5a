"""Hashes of files that were read once, kept by path and state (size, times, inode) in a database of the project.

A file whose state is as it was is not read again, by whichever process.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tasks.project.project import Project

HASHES = "hashes.db"
_OLDEST_TRUSTED = 2 * 10**9
"""Nanoseconds: a file changed so shortly before it was read could change again within the same tick of the clock."""
_AT_ONCE = 500


class KnownHashes:
    """The hashes of some files: look up those that are wanted, then `hash_of` each, then `keep` what was read.

    A database that cannot be read holds nothing that cannot be made again, and is made anew.
    """

    def __init__(self, project: Project) -> None:
        self._path = project.state / HASHES
        self._old: dict[bytes, tuple[str, str]] = {}
        self._new: dict[bytes, tuple[str, str]] = {}

    def look_up(self, paths: list[bytes]) -> None:
        """Reads what is known of these files."""
        try:
            with self._opened() as database:
                for start in range(0, len(paths), _AT_ONCE):
                    some = paths[start : start + _AT_ONCE]
                    marks = ",".join("?" * len(some))
                    rows = database.execute(f"SELECT path, state, hash FROM files WHERE path IN ({marks})", some)
                    self._old.update((path, (state, content)) for path, state, content in rows)
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)

    def hash_of(self, path: bytes, state: str) -> str:
        """SHA-256 of the content of a file in this state. Raises OSError for one that cannot be read."""
        if (known := self._old.get(path)) and known[0] == state:
            return known[1]
        with open(path, "rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        self._old[path] = self._new[path] = (state, content)
        return content

    def keep(self) -> None:
        """Writes what was read, but for files changed a moment ago. Another process that writes it wins."""
        trusted = time.time_ns() - _OLDEST_TRUSTED
        rows = [
            (path, state, content)
            for path, (state, content) in self._new.items()
            if max(int(part) for part in state.split(".")[1:3]) < trusted
        ]
        self._new = {}
        if rows:
            try:
                with self._opened() as database:
                    database.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?)", rows)
            except sqlite3.Error:
                return

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self._path, timeout=20)) as database, database:
            columns = [row[1] for row in database.execute("PRAGMA table_info(files)")]
            if columns and columns != ["path", "state", "hash"]:  # of an older version
                database.execute("DROP TABLE files")
            database.execute(
                "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, state TEXT, hash TEXT) WITHOUT ROWID"
            )
            yield database
