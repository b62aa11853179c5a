"""SQLite files that a library fills through SQLAlchemy and Alembic: their addresses, and which cannot be used."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, unquote

from tasks.process.user import may

TIMEOUT_SECONDS = 20.0
_REVISION = re.compile(r"^revision\b[^=\n]*=\s*[\"'](\w+)[\"']", re.MULTILINE)
_PARENTS = re.compile(r"^down_revision\b[^=\n]*=\s*(.*)$", re.MULTILINE)
_HEADER = b"SQLite format 3\0"
_DAMAGED = ("database disk image is malformed", "file is not a database", "malformed database schema")


class Fault(Enum):
    """Why a file cannot be used. The value follows the file's name in a sentence."""

    DENIED = "may not be read and written by this user"
    NO_DATABASE = "is not an SQLite database"
    DAMAGED = "is damaged or cut short"
    FOREIGN = "holds another program's tables"
    NEWER = "was written by a newer version, or by another one"
    OLDER = "was written by an older version"


@dataclass(frozen=True)
class Schema:
    """The schemas that an installed package knows, by Alembic's revisions. head: the newest."""

    known: frozenset[str]
    head: str


def address(path: Path, driver: str = "") -> str:
    """SQLAlchemy's address of a file; what its path may not hold in one is escaped.

    Such a path goes as an SQLite URI, with a driver named: after `sqlite:///`, MLflow takes all that follows for a path
    and makes its folders.
    """
    if set("?#%").isdisjoint(str(path)):
        return f"sqlite{'+' if driver else ''}{driver}:///{path}"
    return f"sqlite+{driver or 'pysqlite'}:///file:{quote(str(path))}?uri=true"


def path_of(address: str) -> Path | None:
    """The file of an SQLAlchemy address; None where it is none, as in memory or on a server."""
    found = re.fullmatch(r"sqlite(\+\w+)?:///(?P<path>[^?]+)(\?(?P<query>.*))?", address)
    if found is None or ":memory:" in address or "mode=memory" in address:
        return None
    path = found["path"]
    return Path(unquote(path.removeprefix("file:"))) if path.startswith("file:") else Path(path)


@cache
def schema(package: str, folder: str) -> Schema:
    """What the migrations of a package say, read as text: importing the package takes seconds.

    Nothing is known if its files are not where they are expected.
    """
    found = find_spec(package)
    places = found.submodule_search_locations if found is not None else None
    texts = [path.read_text() for place in places or () for path in (Path(place) / folder).glob("*.py")]
    known = {match[1] for text in texts if (match := _REVISION.search(text))}
    parents = " ".join(match[1] for text in texts if (match := _PARENTS.search(text)))
    heads = [revision for revision in known if revision not in parents]
    return Schema(frozenset(known), heads[0]) if len(heads) == 1 else Schema(frozenset(), "")


def is_damage(error: BaseException) -> bool:
    """Whether an error, of whichever library, says that the file itself cannot be read."""
    return any(words in str(error) for words in _DAMAGED)


def fault(path: Path, schema: Schema) -> Fault | None:
    """Why a database that is there cannot be used; None if it can, or if another process has it locked just now.

    One query. SQLite compares the length of the file with the header for it, so that a file that was cut short is
    found; pages that are damaged further back are not.
    """
    if not may(path, os.R_OK | os.W_OK):
        return Fault.DENIED
    with path.open("rb") as file:
        if file.read(len(_HEADER)) not in (b"", _HEADER):  # SQLite would remove what it keeps beside the file
            return Fault.NO_DATABASE
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=TIMEOUT_SECONDS)) as opened:
            tables = {name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "alembic_version" not in tables:
                return Fault.FOREIGN if tables else None
            revisions = [revision for (revision,) in opened.execute("SELECT version_num FROM alembic_version")]
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return Fault.DAMAGED
        return Fault.DENIED if "unable to open" in str(error) or "readonly" in str(error) else None
    if not schema.known or revisions == [schema.head]:
        return None
    if not revisions:
        return Fault.DAMAGED
    return Fault.OLDER if schema.known.issuperset(revisions) else Fault.NEWER


def set_aside(path: Path, mark: str) -> Path:
    """Renames a database and what SQLite keeps beside it to NAME.MARK, and returns the new path."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.{mark}{suffix}"))
    return path.with_name(f"{path.name}.{mark}")
