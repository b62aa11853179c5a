"""A list of paths of images: a text file with one on each line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ssl_models.datasets._common import files as openable
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.pictures import SUFFIXES as SUFFIXES
from ssl_models.datasets._pictures import arrangement
from ssl_models.datasets._pictures.arrangement import Listing
from ssl_models.datasets._pictures.found import Found, Picture

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset


def load(
    *,
    seed: int,
    source: str,
    size: int = 32,
    store: float = 1.15,
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    room: Path | None = None,
) -> Dataset:
    """Images as folder.py reads them, in the order of the list.

    source: a text file in UTF-8. Each line is a path, absolute or relative to the folder of the list; empty lines are
      passed over. The names of images count from the folder of the list, or where all lines are absolute from the
      folder that they share; where some are, from the folder that they share with the list. Tables may also give the
      path as the list does. Folders in these names tell splits and classes as they do in a folder.
      A line that leads to nothing, to what is no file or to a file of another suffix is left out and counted; a line
      that is there twice counts once, and is noted.
    The other settings are those of folder.load. Raises FileNotFoundError for a missing list; ValueError for one that is
    not UTF-8 or without an image, and as folder.load.
    """
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(source, labels, group, test_fraction, seed)
    return decoding.read(listing, source, size=size, store=store, unreadable=unreadable, room=room)


def count(
    *,
    source: str,
    size: int = 32,
    store: float = 1.15,
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    unreadable: str = "skip",
    seed: int = 0,
) -> tuple[int, int]:
    """How many images `load` would open for train and test; it gives fewer where some cannot be read."""
    from ssl_models.datasets._pictures import decoding

    decoding.check_settings(size, store, unreadable)
    listing = _listed(source, labels, group, test_fraction, seed)
    return len(listing.train), len(listing.test)


def told(
    *, source: str, labels: str = "auto", group: str = "", test_fraction: float = 0.2, seed: int = 0, **_: object
) -> str:
    """What the list is taken for, in one line; no image is opened, but for `group: day`. Raises as `load`."""
    return arrangement.told(_listed(source, labels, group, test_fraction, seed))


def files(*, source: str, labels: str = "auto", group: str = "", **_: object) -> Iterator[tuple[str, Path | None]]:
    """The name and path of the list and of every file that `load` would open, as folder.files."""
    yield "source", Path(source).expanduser()
    yield from arrangement.opened(find(source), labels, group)


def side(*, source: str, **_: object) -> int | None:
    """The usual short side of the images in pixels, as folder.side."""
    from ssl_models.datasets._pictures import decoding

    return decoding.usual_side(find(source).pictures, 256)


def find(source: str) -> Found:
    """The images of a list, in its order. Raises as `load`."""
    path = Path(source).expanduser()
    passed_over, skipped = PassedOver(), []
    found: dict[str, Picture] = {}
    lines = _lines(path)
    names = _names(path, lines)
    first_line: dict[str, str] = {}
    for line, name in zip(lines, names, strict=True):
        first_line.setdefault(name, line)
    for name, line in first_line.items():
        suffix = os.path.splitext(name)[1].lower()
        if suffix not in SUFFIXES:
            passed_over.add(name)
        elif why := openable.fault(place := path.parent / line):
            passed_over.add_unreadable(name, why, suffix)
            skipped.append(f"{openable.printable(name)}: {why}")
        else:
            found[name] = Picture(name, place)
    if not found:
        first = f", the first '{openable.printable(lines[0])[:200]}'" if lines else ""
        raise ValueError(
            f"'{path}': none of its {len(lines):,} lines leads to an image{first}; a line is a path, absolute or "
            "relative to the folder of the list"
        )
    twice = len(lines) - len(first_line)
    notes = (f"{twice:,} lines of the list are there more than once; each counts once",) if twice else ()
    what = f"a list of {len(lines):,} paths"
    called = {line: name for line, name in zip(lines, names, strict=True) if line != name and name in found}
    return Found(list(found.values()), what, passed_over.left_out(), tuple(skipped), notes, called)


def _names(path: Path, lines: Sequence[str]) -> list[str]:
    """What the image of each line is called; two lines may give one, as an absolute and a relative path of a file."""
    absolute = [line for line in lines if line.startswith("/")]
    folders = [os.path.dirname(line) for line in absolute if os.path.splitext(line)[1].lower() in SUFFIXES]
    if not folders:
        return list(lines)
    own = os.path.abspath(path.parent)
    base = PurePosixPath(os.path.commonpath([*folders, *([own] if len(absolute) < len(lines) else [])]))
    places = [PurePosixPath(own, line) for line in lines]
    return [place.relative_to(base).as_posix() if place.is_relative_to(base) else place.as_posix() for place in places]


def _lines(path: Path) -> list[str]:
    try:
        text = openable.read(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no list '{path}'") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"'{path}' is not UTF-8 (byte {error.start}); save the list in UTF-8") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"'{path}' cannot be read: {error}") from None
    if "\0" in text:
        number = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"'{path}', line {number}: it holds a NUL, which no path has; write one path on each line")
    return [PurePosixPath(line.strip()).as_posix() for line in text.splitlines() if line.strip()]


def _listed(source: str, labels: str, group: str, test_fraction: float, seed: int) -> Listing:
    return arrangement.arranged(
        find(source), source=source, labels=labels, group=group, test_fraction=test_fraction, seed=seed
    )
