"""Folders of numbered pictures, each the frames of one video: which there are, their order, and where numbers lack."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common import archive, files
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.pictures import SUFFIXES
from ssl_models.datasets._folder.draw import chosen_for_test
from ssl_models.datasets._folder.listing import TEST_NAMES
from ssl_models.datasets._folder.tree import Tree, Wanted, inside

ARCHIVES = (".tar.gz", ".tgz", ".zip", ".tar")
NUMBER = re.compile(r"(\d+)\D*$", re.ASCII)
"""The last digits of a name without its suffix: 10 of frame_2_010."""
MOST_DIGITS = 255
"""Of a number: no name on a disk is longer, but those in archives may be."""
JITTER = 1
"""By how much a step may differ from the usual one where that is over 1: times in milliseconds are rounded to it."""
PICTURES = Wanted(SUFFIXES, noun="picture", what="a picture")
LAYOUT = (
    "the folder of each video must hold its pictures, and lie in `source`, or in CLASS/, train/ and test/, or "
    "train/CLASS/ and test/CLASS/"
)


@dataclass(frozen=True)
class Picture:
    """One frame: its number, its name relative to the source, and its place where it is no member of an archive."""

    number: int
    name: str
    path: Path | None = None


@dataclass(frozen=True)
class Sequence:
    """The frames of one video in the order of their numbers. name: of the folder. label: -1 for none.

    gaps: how often numbers lack. runs: the frames from gap to gap.
    """

    name: str
    label: int
    runs: list[list[Picture]]

    @property
    def gaps(self) -> int:
        return len(self.runs) - 1


@dataclass(frozen=True)
class Found:
    """The sequences of both splits, before any picture is opened."""

    place: Path
    train: list[Sequence]
    test: list[Sequence]
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Names:
    """Folder -> its pictures, and what is left out."""

    folders: dict[str, list[Picture]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()


def find(
    place: Path, seed: int, test_fraction: float, chosen: Callable[[list[str]], list[str]] = lambda folders: folders
) -> Found:
    """The folders with pictures in a folder or an archive, at whatever depth all of them lie.

    chosen: those of the folders that are videos. Folders that all of them lie in do not count. What is left is one of
      VIDEO/; CLASS/VIDEO/; train/VIDEO/ or train/CLASS/VIDEO/, beside test/ (or val/, valid/, validation/; only the
      first of them that is there is read). Where no splits are given test_fraction of each class is drawn with `seed`.
    Raises FileNotFoundError where there is neither; ValueError for another layout, and too few videos.
    """
    if not place.is_dir() and not (place.is_file() and place.name.lower().endswith(ARCHIVES)):
        raise FileNotFoundError(
            f"'{place}' is neither a folder nor an archive ({', '.join(ARCHIVES)}); `source` must name a folder with a "
            "folder of numbered pictures for each video"
        )
    names = _in_folder(place) if place.is_dir() else _in_archive(place)
    ways = {name: name.split("/") if name else [] for name in chosen(sorted(names.folders))}
    if not ways:
        told = [*names.skipped, *names.notes]
        raise ValueError(f"'{place}' holds no pictures{f' ({told[0]})' if told else ''}; {LAYOUT}")
    shared = _shared(list(ways.values()))
    rests = {name: way[shared:] for name, way in ways.items()}
    splits, notes = _splits(rests, place)
    classes = _classes(rests, splits, place)
    sequences = {
        name: Sequence(name, classes.index(rests[name][-2]) if classes else -1, _runs(pictures, names.skipped))
        for name, pictures in names.folders.items()
        if name in {*splits[0], *splits[1]}
    }
    sequences = {name: sequence for name, sequence in sequences.items() if sequence.runs}
    train, test = ([sequences[name] for name in split if name in sequences] for split in splits)
    if not splits[1]:
        train, test = _drawn(train, seed, test_fraction)
    if not train or not test:
        videos = f"{len(sequences)} video{'' if len(sequences) == 1 else 's'}"
        raise ValueError(f"'{place}' holds {videos} as folders of pictures: too few for two splits")
    return Found(place, train, test, classes, tuple(names.skipped), (*names.notes, *notes))


def _in_folder(place: Path) -> _Names:
    tree, names = Tree(place, PICTURES), _Names()
    for folder, content in tree.walk():
        for own in content.wanted:
            _add(names, inside(folder, own), tree.path(inside(folder, own)))
    names.skipped += tree.faults()
    names.notes = tree.passed_over.notes()
    return names


def _in_archive(place: Path) -> _Names:
    names, passed_over = _Names(), PassedOver(PICTURES.what)

    def wanted(name: str) -> bool:
        way = PurePosixPath(name)
        if any(part.startswith(".") for part in way.parts):
            return False
        if not (is_picture := way.suffix.lower() in SUFFIXES):
            passed_over.add(name)
        return is_picture

    for name in archive.names(place, wanted, names.skipped):
        _add(names, name, None)
    names.notes = passed_over.notes()
    return names


def _add(names: _Names, name: str, path: Path | None) -> None:
    own = PurePosixPath(name)
    match = NUMBER.search(own.stem)
    if match and len(match[1]) <= MOST_DIGITS:
        folder = own.parent.as_posix()
        names.folders.setdefault("" if folder == "." else folder, []).append(Picture(int(match[1]), name, path))
        return
    shown, why = files.printable(name), "no number in its name"
    if match:
        shown, why = f"{shown[:60]}...", f"a number of {len(match[1]):,} digits in its name"
    names.skipped.append(f"{shown}: {why}, so its place among the frames is unknown")


def _shared(ways: list[list[str]]) -> int:
    """How many folders all lie in, beside their own."""
    shared = 0
    while all(len(way) > shared + 1 and way[shared] == ways[0][shared] for way in ways):
        shared += 1
    return shared


def _splits(rests: dict[str, list[str]], place: Path) -> tuple[tuple[list[str], list[str]], tuple[str, ...]]:
    """Names of the folders of both splits, of which the second is empty where none are given; and notes."""
    if "" in rests:
        one = "only pictures, of one video" if len(rests) == 1 else "pictures beside folders of pictures"
        raise ValueError(f"'{place}' holds {one}; {LAYOUT}")
    tops = {way[0] for way in rests.values() if len(way) > 1}
    test = next((name for name in TEST_NAMES if name in tops), None)
    if "train" not in tops or test is None:
        return (list(rests), []), ()
    if others := sorted({way[0] for way in rests.values()} - {"train", *TEST_NAMES}):
        raise ValueError(f"'{place}' holds the folder '{others[0]}' next to train/ and {test}/; move it, or away")
    unused = [name for name in TEST_NAMES if name in tops and name != test]
    notes = tuple(f"the folder {name}/ passed over: {test}/ is the test split" for name in unused)
    given = [[name for name, way in rests.items() if way[0] == split] for split in ("train", test)]
    return (given[0], given[1]), notes


def _classes(rests: dict[str, list[str]], splits: tuple[list[str], list[str]], place: Path) -> tuple[str, ...]:
    """The names of the folders above those of the videos; empty where there are none, or one."""
    depth = 2 if splits[1] else 1
    used = {name: len(rests[name]) for split in splits for name in split}
    if len(set(used.values())) > 1 or min(used.values()) not in (depth, depth + 1):
        first, last = (order(used, key=lambda name: used[name]) for order in (min, max))
        raise ValueError(f"'{place}' holds pictures at several depths, or too deep ('{first}/', '{last}/'); {LAYOUT}")
    if min(used.values()) == depth:
        return ()
    train = sorted({rests[name][-2] for name in splits[0]})
    if others := sorted({rests[name][-2] for name in splits[1]} - set(train)):
        raise ValueError(f"'{place}' has the class '{others[0]}' in its test split, and no video of it for training")
    return tuple(train) if len(train) > 1 else ()


def _runs(pictures: list[Picture], skipped: list[str]) -> list[list[Picture]]:
    """In the order of numbers, cut where they lack; they may go up in steps. A second one of a number is left out.

    Numbers that are milliseconds go up by 33, 34, 33: where the usual step is over 1 others may differ by JITTER.
    """
    ordered: list[Picture] = []
    for picture in sorted(pictures, key=lambda one: (one.number, one.name)):
        if ordered and ordered[-1].number == picture.number:
            words = f"a second picture of number {picture.number}, beside {files.printable(ordered[-1].name)}"
            skipped.append(f"{files.printable(picture.name)}: {words}")
        else:
            ordered.append(picture)
    steps = Counter(after.number - before.number for before, after in pairwise(ordered))
    step = min(steps, key=lambda one: (-steps[one], one)) if steps else 1
    jitter = JITTER if step > 1 else 0
    runs: list[list[Picture]] = []
    for picture in ordered:
        if runs and abs(picture.number - runs[-1][-1].number - step) <= jitter:
            runs[-1].append(picture)
        else:
            runs.append([picture])
    return runs


def _drawn(sequences: list[Sequence], seed: int, test_fraction: float) -> list[list[Sequence]]:
    """Training and test videos; of each class its share."""
    train: list[Sequence] = []
    test: list[Sequence] = []
    for label in sorted({sequence.label for sequence in sequences}):
        own = [sequence for sequence in sequences if sequence.label == label]
        chosen = chosen_for_test(len(own), test_fraction, (seed, max(label, 0)))
        for index, sequence in enumerate(own):
            (test if index in chosen else train).append(sequence)
    return [train, test]
