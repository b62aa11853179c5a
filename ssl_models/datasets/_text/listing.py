"""The text files of a source: one file, or all that a folder holds at any depth."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ssl_models.datasets._common import files
from ssl_models.datasets._common.passed_over import PassedOver

SUFFIXES = (".txt", ".txt.gz")
"""Of text files in a folder. A file that the source itself names may have any."""


@dataclass(frozen=True)
class Listing:
    """paths: in the order of their names. skipped: a text for each that cannot be read. notes: what was passed over."""

    paths: tuple[Path, ...]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_texts(source: Path, without: Collection[Path] = ()) -> Listing:
    """The text files of a source, none of them opened.

    without: files that are not part of the corpus, such as lists of questions. Hidden files are ignored. Links are
    followed, but for circles. Raises FileNotFoundError for a source that is not there, ValueError for a folder without
    a text file, and for what is neither a folder nor a file.
    """
    if not os.path.lexists(source):
        raise FileNotFoundError(f"there is no file or folder '{source}'")
    if not source.is_dir():
        if why := files.fault(source, most=None):
            raise ValueError(f"'{source}': {why}")
        return Listing((source,))
    found, skipped, passed_over = [], [], PassedOver("a text")
    others = {path.resolve() for path in without}
    for path, why in _below(source, ()):
        if not why and not path.name.lower().endswith(SUFFIXES):
            passed_over.add(path.name)
        elif why or not files.is_utf8(path.name):
            skipped.append(f"{files.printable(str(path.relative_to(source)))}: {why or 'its name is not UTF-8'}")
        elif path.resolve() not in others:
            found.append(path)
    if not found:
        told = [*skipped, *passed_over.notes()]
        raise ValueError(
            f"'{source}' holds no text file ({' or '.join(SUFFIXES)}){f'; {told[0]}' if told else ''}; name a file, "
            "or a folder that has some"
        )
    return Listing(tuple(found), tuple(skipped), passed_over.notes())


def _below(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, str]]:
    """Each file below, sorted, and why it cannot be read: "" where it can. above: the folders that lead here."""
    try:
        place = (folder.stat().st_dev, folder.stat().st_ino)
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        yield folder, error.strerror or str(error)
        return
    if place in above:
        yield folder, "a circle of links: it leads to a folder that it lies in"
        return
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from _below(path, (*above, place))
        else:
            yield path, files.fault(path, most=None)
