"""Lists a folder of files of one kind and determines its layout, opening none: pipes, devices and circles are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ssl_models.datasets._folder.draw import chosen_for_test
from ssl_models.datasets._folder.tree import Tree, Wanted, inside

TEST_NAMES = ("test", "val", "valid", "validation")
"""Names of the test split's folder, next to train/; the first that exists is read."""


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


def list_files(root: Path, seed: int, test_fraction: float, wanted: Wanted) -> Listing:
    """Determines the layout of a folder, one of those below, and lists its files in sorted order, opening none:

      train/CLASS/* and test/CLASS/* (or val/, valid/, validation/; only the first of them that is there is read);
      CLASS/*, of which test_fraction of each class, drawn with `seed`, is the test split;
      files only: no labels, split in the same way. train/* and test/* without class folders have no labels either.

    Raises FileNotFoundError for a missing folder; ValueError for a mixed or nested layout, and for too few files.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"'{root}' is not a folder; `source` must name a folder of {wanted.nouns}")
    listed = _Layout(Tree(root, wanted))
    folders = listed.tree.content().folders
    test_name = next((name for name in TEST_NAMES if name in folders), None)
    if "train" in folders and test_name:
        return listed.given_splits(folders, test_name)
    by_class = listed.by_class("")
    if not by_class:
        raise ValueError(
            f"'{root}' holds no {wanted.nouns}{why(listed.told())}; files are taken by their suffix: "
            f"{', '.join(sorted(wanted.suffixes))}"
        )
    classes = tuple(by_class) if len(by_class) > 1 else ()  # one subfolder alone makes no classes
    train: list[Entry] = []
    test: list[Entry] = []
    for label, found in enumerate(by_class.values()):
        entries = listed.entries(found, label if classes else -1)
        chosen = chosen_for_test(len(entries), test_fraction, (seed, label))
        for index, entry in enumerate(entries):
            (test if index in chosen else train).append(entry)
    if not train or not test:
        total = len(train) + len(test)
        files = f"{total} {wanted.noun if total == 1 else wanted.nouns}"
        raise ValueError(
            f"'{root}' holds {files}: too few to give {test_fraction} of each class to a test split{why(listed.told())}"
        )
    return listed.listing(train, test, classes)


@dataclass
class _Layout:
    """How a tree of files is laid out. notes: of its layout."""

    tree: Tree
    notes: tuple[str, ...] = ()

    def told(self) -> list[str]:
        """What was left out and noted."""
        return [*self.tree.faults(), *self.tree.passed_over.notes(), *self.notes]

    def listing(self, train: list[Entry], test: list[Entry], classes: tuple[str, ...]) -> Listing:
        notes = (*self.tree.passed_over.notes(), *self.notes)
        return Listing(train, test, classes, tuple(self.tree.faults()), notes)

    def given_splits(self, folders: list[str], test_name: str) -> Listing:
        """train/ and test/, each with class folders or each without."""
        root, wanted, loose = self.tree.root, self.tree.wanted, self.tree.content().wanted
        others = [name for name in folders if name not in ("train", *TEST_NAMES) and self.tree.holds_any(name)]
        if others or loose:
            what = f"the folder '{others[0]}'" if others else f"the {wanted.noun} '{loose[0]}'"
            raise ValueError(
                f"'{root}' holds {what} next to train/ and {test_name}/; move it into one of them, or away"
            )
        self.notes += tuple(
            f"the folder {name}/ passed over: {test_name}/ is the test split"
            for name in TEST_NAMES
            if name in folders and name != test_name
        )
        train, test = self.by_class("train"), self.by_class(test_name)
        for name, found in (("train", train), (test_name, test)):
            if not found:
                raise ValueError(f"'{root / name}' holds no {wanted.nouns}{why(self.told())}")
        if ("" in train) != ("" in test):
            raise ValueError(f"'{root}': one of train/ and {test_name}/ has class folders and the other has none")
        if extra := [name for name in test if name not in train]:
            raise ValueError(
                f"'{root / test_name}' has the class '{extra[0]}', of which '{root / 'train'}' has no {wanted.nouns}"
            )
        classes = tuple(train) if "" not in train else ()
        label = {name: index if classes else -1 for index, name in enumerate(train)}
        listed = [
            [entry for name, found in split.items() for entry in self.entries(found, label[name])]
            for split in (train, test)
        ]
        return self.listing(listed[0], listed[1], classes)

    def by_class(self, folder: str) -> dict[str, list[str]]:
        """Class -> its files, both sorted; {"": files} where there are no folders, {} where there are no files."""
        root, wanted, content = self.tree.root, self.tree.wanted, self.tree.content(folder)
        by_class: dict[str, list[str]] = {}
        for name in content.folders:
            place = inside(folder, name)
            found = self.tree.content(place)
            if nested := [inner for inner in found.folders if self.tree.holds_any(inside(place, inner))]:
                raise ValueError(
                    f"'{root / place / nested[0]}' lies too deep: {wanted.nouns} must lie in CLASS/, or in "
                    "train/CLASS/ and test/CLASS/"
                )
            if found.wanted:
                by_class[name] = [inside(place, own) for own in found.wanted]
            elif found.others:
                self.notes += (f"the folder {place}/ makes no class: it has no {wanted.nouns}",)
        if content.wanted and by_class:
            raise ValueError(
                f"'{self.tree.path(folder)}' mixes {wanted.nouns} ('{content.wanted[0]}') with class folders "
                f"('{next(iter(by_class))}/'); put each {wanted.noun} into a class folder, or all of them next to each "
                "other"
            )
        return {"": [inside(folder, own) for own in content.wanted]} if content.wanted else by_class

    def entries(self, names: list[str], label: int) -> list[Entry]:
        return [Entry(name, label, self.tree.path(name)) for name in names]


def why(told: list[str]) -> str:
    """For errors: what was there instead."""
    return f" ({told[0]}{f', and {len(told) - 1} more such' if len(told) > 1 else ''})" if told else ""
