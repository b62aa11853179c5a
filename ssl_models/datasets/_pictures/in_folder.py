"""The pictures of a folder, at any depth, before any is opened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common import collection
from ssl_models.datasets._common.pictures import SUFFIXES
from ssl_models.datasets._folder.listing import TEST_NAMES, why
from ssl_models.datasets._folder.tree import Tree, Wanted, inside
from ssl_models.datasets._pictures.found import Found, Picture

WANTED = Wanted(SUFFIXES, noun="image", what="a picture")
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@collection.paused()
def find(root: Path) -> Found:
    """Files whose suffix is in SUFFIXES, folder by folder in the order of names; links are followed.

    Hidden files are ignored. A link to nothing, a circle of links, a pipe, a socket, a device, a folder without
    permission and a name that is not UTF-8 are never opened: they are named in `Found.skipped`. A plain file costs no
    call of the system, so one without permission is told when it is opened.
    Raises FileNotFoundError for a missing folder, ValueError for one without a picture, and for train/ beside test/ of
    which one has none.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"'{root}' is not a folder; `source` must name a folder of {WANTED.nouns}")
    tree = Tree(root, WANTED)
    found, holding = [], []
    for folder, content in tree.walk():
        base = str(tree.path(folder))
        found += [Picture(inside(folder, name), Path(f"{base}/{name}")) for name in content.wanted]
        holding += [folder] if content.wanted else []
    told = [*tree.faults(), *tree.passed_over.notes()]
    if not found:
        raise ValueError(
            f"'{root}' holds no {WANTED.nouns}{why(told)}; files are taken by their suffix: "
            f"{', '.join(sorted(WANTED.suffixes))}"
        )
    folders = tree.content().folders
    test_name = next((name for name in TEST_NAMES if name in folders), "")
    for name in ("train", test_name) if "train" in folders and test_name else ():
        if not tree.holds_any(name):
            raise ValueError(f"'{root / name}' holds no {WANTED.nouns}{why(told)}")
    return Found(found, depth(holding), tree.passed_over.left_out(), tuple(tree.faults()), tuple(_without(tree)))


def depth(holding: list[str]) -> str:
    """ "312 folders two deep": how many folders hold files, and how deep they lie.

    holding: their names relative to the root, "" for the root itself.
    """
    deep = sorted({len(PurePosixPath(folder).parts) for folder in holding})
    if deep == [0]:
        return "one folder"
    below = sum(bool(folder) for folder in holding)
    far = WORDS[deep[-1]] if deep[-1] < len(WORDS) else str(deep[-1])
    count = f"{below:,} folder{'' if below == 1 else 's'}"
    loose = ", and pictures beside them" if deep[0] == 0 else ""
    return f"{count} {'' if deep in ([deep[-1]], [0, deep[-1]]) else 'up to '}{far} deep{loose}"


def _without(tree: Tree) -> Iterator[str]:
    """Notes on folders that may be meant as classes and hold other files only."""
    for above in ("", *(name for name in ("train", *TEST_NAMES) if name in tree.content().folders)):
        for name in tree.content(above).folders:
            place = inside(above, name)
            if tree.content(place).others and not tree.holds_any(place):
                yield f"the folder {place}/ holds no {WANTED.nouns}"
