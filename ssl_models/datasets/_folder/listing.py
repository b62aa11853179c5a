"""Lists a folder of files of one kind and determines its layout, opening none: pipes, devices and circles are told."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ssl_models.datasets._common import files
from ssl_models.datasets._common.passed_over import PassedOver

TEST_NAMES = ("test", "val", "valid", "validation")
"""Names of the test split's folder, next to train/; the first that exists is read."""


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
class Entry:
    """One file: its name relative to the source, its class (-1: none), and where or what it is."""

    name: str
    label: int
    content: Path | bytes


@dataclass(frozen=True)
class Listing:
    """The files of both splits, before any is opened. classes: empty where there are no labels.

    skipped: a text for each entry that cannot be read, as its kind or its name tells. notes: what was passed over.
    """

    train: list[Entry]
    test: list[Entry]
    classes: tuple[str, ...]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Content:
    """What a folder holds: wanted files and the names of folders, both sorted; and how many other files."""

    wanted: list[Path]
    folders: list[str]
    others: int = 0


@dataclass
class _Tree:
    """The folders below `root`, each read once; links to folders are followed."""

    root: Path
    wanted: Wanted
    passed_over: PassedOver
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _known: dict[Path, _Content] = field(default_factory=dict)

    def content(self, folder: Path) -> _Content:
        """Files of the suffixes that can be read; hidden ones are none."""
        if folder not in self._known:
            self._known[folder] = self._read(folder)
        return self._known[folder]

    def holds_any(self, folder: Path) -> bool:
        """Whether a wanted file lies in it, at any depth."""
        ahead = [folder]
        while ahead:
            found = self.content(place := ahead.pop())
            if found.wanted:
                return True
            ahead += [place / name for name in found.folders]
        return False

    def told(self) -> tuple[str, ...]:
        return (*self.passed_over.notes(), *self.notes)

    def why(self) -> str:
        """For errors: what was left out instead."""
        told = [*self.skipped, *self.told()]
        return f" ({told[0]}{f', and {len(told) - 1} more such' if len(told) > 1 else ''})" if told else ""

    def _read(self, folder: Path) -> _Content:
        try:
            with os.scandir(folder) as found:
                entries = sorted((e for e in found if not e.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            self._skip(folder, error.strerror or str(error))
            return _Content([], [])
        wanted, folders, others = [], [], 0
        for entry in entries:
            path = folder / entry.name
            if not entry.is_file(follow_symlinks=False) and _is_folder(entry):
                folders += [entry.name] if self._may_enter(path) else []
            elif Path(entry.name).suffix.lower() not in self.wanted.suffixes and not files.fault(path):
                self.passed_over.add(entry.name)
                others += 1
            elif why := files.fault(path) or ("" if files.is_utf8(entry.name) else "its name is not UTF-8"):
                self._skip(path, why)
            else:
                wanted.append(path)
        return _Content(wanted, folders, others)

    def _may_enter(self, folder: Path) -> bool:
        why = ""
        if not files.is_utf8(folder.name):
            why = "its name is not UTF-8"
        elif not os.access(folder, os.R_OK | os.X_OK):
            why = "no permission to read it"
        elif _identity(folder) in self._above(folder):
            why = "a circle of links: it leads to a folder that it lies in"
        if why:
            self._skip(folder, why)
        return not why

    def _above(self, folder: Path) -> set[tuple[int, int]]:
        """The folders that `folder` lies in, by the way that led to it and as they really lie."""
        real = self.root.resolve()
        inside = [folder.parent, *folder.parent.parents]
        within = inside[: inside.index(self.root) + 1]
        return {_identity(place) for place in (*within, real, *real.parents)}

    def _skip(self, path: Path, why: str) -> None:
        self.skipped.append(f"{files.printable(path.relative_to(self.root).as_posix())}: {why}")


def list_files(root: Path, seed: int, test_fraction: float, wanted: Wanted) -> Listing:
    """Determines the layout of a folder (folder.load tells which there are) and lists its files, opening none."""
    if not root.is_dir():
        raise FileNotFoundError(f"'{root}' is not a folder; `source` must name a folder of {wanted.nouns}")
    tree = _Tree(root, wanted, PassedOver(wanted.what))
    folders = tree.content(root).folders
    test_name = next((name for name in TEST_NAMES if name in folders), None)
    if "train" in folders and test_name:
        return _given_splits(tree, folders, test_name)
    by_class = _by_class(tree, root)
    if not by_class:
        raise ValueError(
            f"'{root}' holds no {wanted.nouns}{tree.why()}; files are taken by their suffix: "
            f"{', '.join(sorted(wanted.suffixes))}"
        )
    classes = tuple(by_class) if len(by_class) > 1 else ()  # one subfolder alone makes no classes
    train: list[Entry] = []
    test: list[Entry] = []
    for label, found in enumerate(by_class.values()):
        entries = _entries(root, found, label if classes else -1)
        chosen = _chosen_for_test(len(entries), test_fraction, (seed, label))
        for index, entry in enumerate(entries):
            (test if index in chosen else train).append(entry)
    if not train or not test:
        total = len(train) + len(test)
        raise ValueError(
            f"'{root}' holds {total} {wanted.nouns}: too few to give {test_fraction} of each class to a test split"
            f"{tree.why()}"
        )
    return Listing(train, test, classes, tuple(tree.skipped), tree.told())


def _given_splits(tree: _Tree, folders: list[str], test_name: str) -> Listing:
    """train/ and test/, each with class folders or each without."""
    root, nouns, loose = tree.root, tree.wanted.nouns, tree.content(tree.root).wanted
    others = [name for name in folders if name not in ("train", *TEST_NAMES) and tree.holds_any(root / name)]
    if others or loose:
        what = f"the folder '{others[0]}'" if others else f"the {tree.wanted.noun} '{loose[0].name}'"
        raise ValueError(f"'{root}' holds {what} next to train/ and {test_name}/; move it into one of them, or away")
    tree.notes += [
        f"the folder {name}/ passed over: {test_name}/ is the test split"
        for name in TEST_NAMES
        if name in folders and name != test_name
    ]
    train, test = _by_class(tree, root / "train"), _by_class(tree, root / test_name)
    for name, found in (("train", train), (test_name, test)):
        if not found:
            raise ValueError(f"'{root / name}' holds no {nouns}{tree.why()}")
    if ("" in train) != ("" in test):
        raise ValueError(f"'{root}': one of train/ and {test_name}/ has class folders and the other has none")
    if extra := [name for name in test if name not in train]:
        raise ValueError(f"'{root / test_name}' has the class '{extra[0]}', of which '{root / 'train'}' has no {nouns}")
    classes = tuple(train) if "" not in train else ()
    label = {name: index if classes else -1 for index, name in enumerate(train)}
    listed = [
        [entry for name, files in split.items() for entry in _entries(root, files, label[name])]
        for split in (train, test)
    ]
    return Listing(listed[0], listed[1], classes, tuple(tree.skipped), tree.told())


def _by_class(tree: _Tree, folder: Path) -> dict[str, list[Path]]:
    """Class -> its files, both sorted; {"": files} where there are no folders, {} where there are no files."""
    nouns, loose = tree.wanted.nouns, tree.content(folder).wanted
    by_class: dict[str, list[Path]] = {}
    for name in tree.content(folder).folders:
        inside = tree.content(folder / name)
        if nested := [inner for inner in inside.folders if tree.holds_any(folder / name / inner)]:
            raise ValueError(
                f"'{folder / name / nested[0]}' lies too deep: {nouns} must lie in CLASS/, or in train/CLASS/ and "
                "test/CLASS/"
            )
        if inside.wanted:
            by_class[name] = inside.wanted
        elif inside.others:
            tree.notes.append(f"the folder {(folder / name).relative_to(tree.root)}/ makes no class: it has no {nouns}")
    if loose and by_class:
        raise ValueError(
            f"'{folder}' mixes {nouns} ('{loose[0].name}') with class folders ('{next(iter(by_class))}/'); put each "
            f"{tree.wanted.noun} into a class folder, or all of them next to each other"
        )
    return {"": loose} if loose else by_class


def _entries(root: Path, files: list[Path], label: int) -> list[Entry]:
    return [Entry(path.relative_to(root).as_posix(), label, path) for path in files]


def _chosen_for_test(samples: int, test_fraction: float, seed: tuple[int, int]) -> set[int]:
    """The test samples of a class: at least one, and not all."""
    wanted = min(samples - 1, max(1, round(samples * test_fraction)))
    return set(np.random.default_rng(seed).permutation(samples)[:wanted].tolist())


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a circle of links
        return False


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
