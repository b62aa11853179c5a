"""Walks a folder of files of one kind, opening none: links are followed, circles, pipes and odd names are told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ssl_models.datasets._common import files
from ssl_models.datasets._common.passed_over import PassedOver

FOLDER = "/"
"""What stands for the suffix of a folder that cannot be entered."""


@dataclass(frozen=True)
class Wanted:
    """Which files are listed, by their suffix in lower case.

    noun: what errors call one of them, such as "image". what: what notes call one, such as "a picture".
    """

    suffixes: frozenset[str]
    noun: str
    what: str

    @property
    def nouns(self) -> str:
        """Of several."""
        return f"{self.noun}s"


@dataclass(frozen=True)
class Content:
    """What a folder holds: the names of wanted files and of folders, both sorted; and how many other files."""

    wanted: list[str]
    folders: list[str]
    others: int = 0


@dataclass
class Tree:
    """The folders below `root`, each read once. Hidden files and folders are ignored.

    A folder costs a few calls of the system; a plain file costs none beside the reading of its folder. So a file that
    is too large, or that may not be read, is told by whoever opens it.
    skipped: the name of each entry that cannot be read, with the reason.
    """

    root: Path
    wanted: Wanted
    passed_over: PassedOver = field(init=False)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    _known: dict[str, Content] = field(default_factory=dict)
    _above: dict[str, frozenset[tuple[int, int]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.passed_over = PassedOver(self.wanted.what)
        real = self.root.resolve()
        self._above[""] = frozenset(_identity(str(place)) for place in (self.root, real, *real.parents))

    def content(self, folder: str = "") -> Content:
        """Of a folder that was reached from the root; "" for the root, else its name relative to it."""
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        return self._known[folder]

    def walk(self, folder: str = "") -> Iterator[tuple[str, Content]]:
        """Each folder and what it holds, in the order of names; a folder comes before those that it holds."""
        ahead = [folder]
        while ahead:
            place = ahead.pop()
            content = self.content(place)
            yield place, content
            ahead += [inside(place, name) for name in reversed(content.folders)]

    def holds_any(self, folder: str) -> bool:
        """Whether a wanted file lies in it, at any depth."""
        return any(content.wanted for _, content in self.walk(folder))

    def faults(self) -> list[str]:
        """A text for each entry that cannot be read, with its name."""
        return [f"{files.printable(name)}: {why}" for name, why in self.skipped]

    def path(self, name: str) -> Path:
        """Of a file or folder below the root."""
        return Path(f"{self.root}/{name}") if name else self.root

    def _read(self, folder: str) -> Content:
        try:
            with os.scandir(self.path(folder)) as found:
                entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, error.strerror or str(error), FOLDER)
            return Content([], [])
        wanted, folders, others = [], [], 0
        for entry in entries:
            name, plain = entry.name, entry.is_file(follow_symlinks=False)
            suffix = os.path.splitext(name)[1].lower()
            if not plain and _is_folder(entry):
                folders += [name] if self._may_enter(folder, name) else []
            elif suffix not in self.wanted.suffixes and (plain or not files.fault(entry.path)):
                self.passed_over.add(inside(folder, name))
                others += 1
            elif why := ("" if plain else files.fault(entry.path)) or _odd(name):
                self._skip(inside(folder, name), why, suffix)
            else:
                wanted.append(name)
        return Content(wanted, folders, others)

    def _may_enter(self, folder: str, name: str) -> bool:
        own, why = inside(folder, name), _odd(name)
        path = str(self.path(own))
        if not why and not os.access(path, os.R_OK | os.X_OK):
            why = "no permission to read it"
        if not why and (place := _identity(path)) in self._above[folder]:
            why = "a circle of links: it leads to a folder that it lies in"
        elif not why:
            self._above[own] = self._above[folder] | {place}
        if why:
            self._skip(own, why, FOLDER)
        return not why

    def _skip(self, name: str, why: str, suffix: str) -> None:
        self.skipped.append((name, why))
        self.passed_over.add_unreadable(name, why, suffix)


def inside(folder: str, name: str) -> str:
    """The name, relative to the root, of what lies in a folder of it."""
    return f"{folder}/{name}" if folder else name


def _odd(name: str) -> str:
    return "" if files.is_utf8(name) else "its name is not UTF-8"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _identity(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
