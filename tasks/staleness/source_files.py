"""The files that a data set is read from, and one hash of their names and contents: what `prepare` depends on.

A reader that states `files` makes the list itself, so that hash and reading cannot differ: in links, pipes, odd names,
files that it ignores. For other readers the list is that of all files below the source. DVC's own hash of a folder
passes by what links lead to, waits for ever at a pipe, and fails for a dangling link and for a name that is not UTF-8.

Of a large source the list is kept: as long as neither a folder of it nor a table or list that the reader goes by has
changed, it is not made again for an hour. So a picture that was overwritten in place, which changes no folder, is
noticed after an hour at the latest. The stage itself always looks at every file.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project.project import Project
from tasks.settings import readers
from tasks.staleness.known_hashes import KnownHashes

MISSING, CIRCLE, UNREADABLE, SPECIAL, NAMED = "missing", "circle", "unreadable", "special", "named"
"""What stands for the content of: no file; a link to a folder above it; a file without permission; a pipe, a device;
what a reader names and does not open."""
LARGE = 20_000
"""Files from which on a list is kept."""
TRUSTED = 3600
"""Seconds for which it is."""
SOURCE = b"source"
STEERING = frozenset((b"labels", b"group", SOURCE))
"""What readers call their tables and the list or folder that they begin with: one of these decides on all others."""


@dataclass(frozen=True)
class Listed:
    """A file of a source: its name there, its path, and its state, or one of the words above."""

    name: bytes
    path: bytes
    state: str


@dataclass(frozen=True)
class _Look:
    """A look at a large source: when, the states of its folders, tables and lists, and both hashes."""

    at: float
    places: dict[str, str]
    state: str
    content: str = ""

    def holds(self) -> bool:
        return 0 <= time.time() - self.at < TRUSTED and self.places == _states(self.places)


def state(project: Project, block: Mapping[str, Any]) -> str:
    """A hash of all names and states of the source of a data set's block; no file is opened."""
    if (look := _last_look(project, block)) is not None:
        return look.state
    return _looked(project, block, listed(project.root, block)).state


def fingerprint(project: Project, block: Mapping[str, Any], *, thorough: bool = False) -> str:
    """16 hexadecimal digits of all names and contents. A file that was hashed before and not touched is not read.

    thorough: looks at every file, whatever was kept.
    """
    look = None if thorough else _last_look(project, block)
    if look is not None and look.content:
        return look.content
    found = listed(project.root, block)
    known, digest = KnownHashes(project), hashlib.sha256()
    known.look_up([entry.path for entry in found])
    for entry in found:
        digest.update(b"%s\0%s\0" % (entry.name, _content(known, entry).encode()))
    known.keep()
    content = digest.hexdigest()[:16]
    _looked(project, block, found, content)
    return content


def listed(root: Path, block: Mapping[str, Any]) -> list[Listed]:
    """The files of a source, as its reader lists them; a fault of the source, which the reader tells, is one entry."""
    if not readers.states(readers.opening(block), "files"):
        return list(walked(root / Path(block["source"]).expanduser()))
    try:
        return [
            Listed(os.fsencode(name), os.fsencode(path), _state(path)) if path is not None else _named(name)
            for name, path in readers.files(root, block)
        ]
    except (OSError, ValueError) as error:
        return [_named(f"{type(error).__name__}: {error}")]


def walked(source: Path) -> Iterator[Listed]:
    """Each file below a source, links followed. A source that is a file has the name b"". Hidden files are left out."""
    real = source.resolve()
    above = [os.stat(folder) for folder in real.parents] if real.exists() else []
    yield from _walked(os.fsencode(source), b"", tuple((found.st_dev, found.st_ino) for found in above))


def _walked(path: bytes, name: bytes, above: tuple[tuple[int, int], ...]) -> Iterator[Listed]:
    try:
        found = os.stat(path)
    except OSError as error:
        yield Listed(name, path, CIRCLE if error.errno == errno.ELOOP else MISSING)
        return
    if not stat.S_ISDIR(found.st_mode):
        yield Listed(name, path, files.stat_text(found) if stat.S_ISREG(found.st_mode) else SPECIAL)
        return
    place = (found.st_dev, found.st_ino)
    if place in above:
        yield Listed(name, path, CIRCLE)
        return
    try:
        members = sorted(member for member in os.listdir(path) if not member.startswith(b"."))
    except PermissionError:
        yield Listed(name, path, UNREADABLE)
        return
    for member in members:
        yield from _walked(path + b"/" + member, name + b"/" + member if name else member, (*above, place))


def _named(name: str) -> Listed:
    return Listed(os.fsencode(name), b"", NAMED)


def _state(path: Path) -> str:
    try:
        found = os.stat(path)
    except OSError as error:
        return CIRCLE if error.errno == errno.ELOOP else MISSING
    return files.stat_text(found) if stat.S_ISREG(found.st_mode) else SPECIAL


def _content(known: KnownHashes, entry: Listed) -> str:
    if entry.state in (MISSING, CIRCLE, UNREADABLE, SPECIAL, NAMED):
        return entry.state
    try:
        return known.hash_of(entry.path, entry.state)
    except PermissionError:
        return UNREADABLE
    except OSError:
        return MISSING


def _looked(project: Project, block: Mapping[str, Any], found: list[Listed], content: str = "") -> _Look:
    """What was found, kept where the source is large."""
    digest = hashlib.sha256()
    for entry in found:
        digest.update(b"%s\0%s\0" % (entry.name, entry.state.encode()))
    places = _states(_places(project.root, block, found)) if len(found) >= LARGE else {}
    look = _Look(time.time(), places, digest.hexdigest(), content)
    if places:
        files.write_json(_memory(project, block), asdict(look))
    return look


def _last_look(project: Project, block: Mapping[str, Any]) -> _Look | None:
    """The last look at a large source, where it still holds."""
    kept = files.remembered(_memory(project, block))
    try:
        look = _Look(**kept)
        return look if look.holds() else None
    except (TypeError, AttributeError):
        return None


def _memory(project: Project, block: Mapping[str, Any]) -> Path:
    told = [str(project.root), dict(block), os.environ.get("COVEY_DATA")]  # where well-known sets are looked for
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
    return project.state / "sources" / f"{key}.json"


def _places(root: Path, block: Mapping[str, Any], found: Iterable[Listed]) -> list[str]:
    """What tells that a list is out of date: folders with files, those below the source, tables and lists."""
    start = os.path.normpath(root / Path(block["source"]).expanduser())
    steering = {os.fsdecode(entry.path) for entry in found if entry.name in STEERING}
    holding = {os.path.dirname(os.fsdecode(entry.path)) for entry in found if entry.path and entry.name not in STEERING}
    below = (folder for place in {start, *steering} if os.path.isdir(place) for folder in _folders(place))
    return sorted({start, *steering, *holding, *below})


def _folders(source: str) -> Iterator[str]:
    """A folder and all below it, links followed, but for hidden ones and circles."""
    ahead = [(source, frozenset(_identity(place) for place in (Path(source), *Path(source).resolve().parents)))]
    while ahead:
        folder, above = ahead.pop()
        yield folder
        try:
            with os.scandir(folder) as members:
                inner = [entry.path for entry in members if not entry.name.startswith(".") and _leads_to_folder(entry)]
            ahead += [(path, above | {place}) for path in inner if (place := _identity(path)) not in above]
        except OSError:  # without permission, or gone since
            continue


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _identity(path: str | Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _states(places: Iterable[str]) -> dict[str, str]:
    return {place: _state_of_place(place) for place in places}


def _state_of_place(place: str) -> str:
    try:
        return files.stat_text(os.stat(place))
    except OSError:
        return MISSING
