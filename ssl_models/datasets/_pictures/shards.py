"""Data sets in several large files of one suffix: which there are, and which split each belongs to by its name."""

from __future__ import annotations

import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common import files
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.split import LeftOut
from ssl_models.datasets._folder.listing import TEST_NAMES

MOST_FILES = 100_000
BRACES = re.compile(r"\{([^{}]*)\}")
SPLITS = ("train", "training", *TEST_NAMES)
Stamps = tuple[tuple[Path, int, int], ...]


def is_pattern(source: str | Path) -> bool:
    """Whether it stands for several files: it holds braces, and nothing has that name itself."""
    return bool(BRACES.search(str(source))) and not os.path.lexists(Path(source).expanduser())


def expanded(source: str | Path) -> list[Path]:
    """ "a-{08..10}.tar" -> a-08.tar, a-09.tar, a-10.tar; "{a,b}-{0..1}" -> a-0, a-1, b-0, b-1; else the path itself.

    Numbers are as wide as the wider end where one starts with a zero. The files need not be there. Raises ValueError
    for braces that are neither a range upwards nor a list, and for more than MOST_FILES files.
    """
    if not is_pattern(source):
        return [Path(source).expanduser()]
    pieces = BRACES.split(str(source))
    choices = [[piece] if number % 2 == 0 else _choices(piece, str(source)) for number, piece in enumerate(pieces)]
    if (total := math.prod(map(len, choices))) > MOST_FILES:
        raise ValueError(f"'{source}' stands for {total:,} files; at most {MOST_FILES:,} are read")
    return [Path("".join(parts)).expanduser() for parts in itertools.product(*choices)]


def missing(source: str | Path) -> Path | None:
    """The first of the files that a path or a pattern stands for and that are not there. Raises as `expanded`."""
    return next((path for path in expanded(source) if not path.exists()), None)


def root_of(source: str | Path, paths: Sequence[Path]) -> Path:
    """The folder that the names of a source's files are relative to."""
    given = Path(source).expanduser()
    return given if given.is_dir() else Path(os.path.commonpath([path.parent for path in paths]))


def _choices(inside: str, pattern: str) -> list[str]:
    if "," in inside:
        return inside.split(",")
    found = re.fullmatch(r"(\d+)\.\.(\d+)", inside, re.ASCII)
    if not found or len(inside) > 40 or int(found[1]) > int(found[2]):
        raise ValueError(f"'{pattern}': {{{inside}}} must be a range upwards such as {{000..007}}, or a list {{a,b}}")
    first, last = int(found[1]), int(found[2])
    if last - first >= MOST_FILES:
        raise ValueError(f"'{pattern}' stands for over {MOST_FILES:,} files; at most {MOST_FILES:,} are read")
    padded = any(end.startswith("0") and len(end) > 1 for end in found.groups())
    width = max(len(end) for end in found.groups()) if padded else 1
    return [f"{number:0{width}}" for number in range(first, last + 1)]


def in_folder(root: Path, suffix: str) -> tuple[list[Path], tuple[LeftOut, ...]]:
    """The files of one suffix at any depth of a folder, sorted; and those of other suffixes, counted.

    Hidden files and folders are passed over. Links to folders are not followed.
    """
    found, others = [], PassedOver(f"a {suffix}")
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if any(part.startswith(".") for part in inside.parts) or path.is_dir():
            continue
        if path.name.lower().endswith(suffix):
            found.append(path)
        else:
            others.add(inside.as_posix())
    return found, others.left_out()


def check_file(path: Path) -> None:
    """Raises FileNotFoundError or ValueError for what cannot be read as a file, however large."""
    if not path.exists() and not path.is_symlink():
        raise FileNotFoundError(f"there is no file '{path}'")
    if why := files.fault(path, most=None):
        raise ValueError(f"'{path}' cannot be read: {why}")


def stamped(paths: Iterable[Path]) -> Stamps:
    """Each file with its size and the time of its last change, by which a change of it is seen."""
    return tuple((path, found.st_size, found.st_mtime_ns) for path in paths for found in [path.stat()])


def split_of(name: str) -> str:
    """The first of SPLITS that is the name of one of a file's folders, or a word of its own name; else ""."""
    path = PurePosixPath(name.lower())
    words = [*path.parts[:-1], *re.split(r"[^a-z]+", path.name)]
    return next((word for word in words if word in SPLITS), "")


def roles(splits: Iterable[str], labelled: Mapping[str, bool]) -> tuple[dict[str, str], tuple[str, ...]]:
    """What each split is used as, "train", "test", or "" where none is told; splits that are not used are not in it.

    The test split is the first of TEST_NAMES that has labels, if the training split has any; else the first. Returns
    notes on what is not used. Raises ValueError where one of both splits is missing, or files of no split are there.
    """
    there = set(splits)
    if there <= {""} or len(there) == 1:
        return dict.fromkeys(there, ""), ()
    if "" in there:
        raise ValueError(f"some files belong to a split by their names ({', '.join(sorted(there - {''}))}), others not")
    train = [name for name in ("train", "training") if name in there]
    tests = [name for name in TEST_NAMES if name in there]
    if not train:
        raise ValueError(f"by their names the files are of the splits {', '.join(sorted(there))}, and none is train")
    if not tests:
        return dict.fromkeys(there, ""), ()
    wanted = any(labelled.get(name) for name in train)
    test = next((name for name in tests if labelled.get(name) or not wanted), tests[0])
    unused = [name for name in tests if name != test]
    notes = tuple(f"the split {name} passed over: {test} is the test split" for name in unused)
    return dict.fromkeys(train, "train") | {test: "test"}, notes
