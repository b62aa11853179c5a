"""The labels of pictures: of their folders, of a user's table, or those that the source itself tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl_models.datasets._common import files
from ssl_models.datasets._common.split import UNLABELLED, LeftOut
from ssl_models.datasets._common.tally import Tally
from ssl_models.datasets._pictures import tables
from ssl_models.datasets._pictures.found import Picture
from ssl_models.datasets._pictures.groups import GROUP
from ssl_models.datasets._pictures.layout import Layout

AUTO, FOLDERS, NONE = "auto", "folders", "none"


@dataclass(frozen=True)
class Labelled:
    """kept: the indices of the pictures that are used. values: for each of them a class in each of the sets.

    sets: the names of the sets of labels; the first is that of Split.labels. by_folder: whether classes are folders.
    """

    kept: Sequence[int]
    sets: tuple[str, ...] = ()
    values: Sequence[tuple[str, ...]] = ()
    left_out: tuple[LeftOut, ...] = field(default=())
    by_folder: bool = False


def labelled(layout: Layout, labels: str, source: str, names: Mapping[str, str], *, folders: bool) -> Labelled:
    """Finds the classes of all pictures; arrangement.arranged tells what `labels` and `folders` may be.

    names: what a table may call the pictures of the source -> their names.
    Raises ValueError for an unknown value, a table that cannot be used, and labels of fewer than two classes.
    """
    every = range(len(layout.pictures))
    if labels == NONE:
        return Labelled(every)
    if labels == FOLDERS:
        own = [tuple(layout.folders(picture)[:1]) for picture in layout.pictures]
        return _kept(layout, ("folder",), own, "no class folder", f"labels = '{labels}': '{source}'", by_folder=True)
    if tables.is_table(labels):
        return _of_table(layout, Path(labels).expanduser(), source, names)
    stated = list(dict.fromkeys(name for picture in layout.pictures for name in picture.labels))
    if labels != AUTO:
        if labels not in stated:
            known = ", ".join((AUTO, FOLDERS, NONE, "a file NAME.csv", *stated))
            raise ValueError(f"labels = '{files.printable(labels)}': it must be one of: {known}")
        stated = [labels, *(name for name in stated if name != labels)]
    if stated:
        return _of_source(layout, stated, source)
    classes = layout.classes() if folders else None
    if classes is None:
        return Labelled(every)
    return Labelled(every, ("folder",), [(name,) for name in classes], by_folder=True)


def _of_table(layout: Layout, path: Path, source: str, names: Mapping[str, str]) -> Labelled:
    """The columns of a table, and after them the sets of labels of the source that have other names."""
    table = tables.read(path, names, source, "labels")
    columns = tuple(name for name in table.columns if name != GROUP)
    if not columns:
        raise ValueError(f"labels = '{path}': it has no column of labels beside `file` and `{GROUP}`")
    at = [table.columns.index(name) for name in columns]
    own = [tuple(row[i] for i in at) if (row := table.rows.get(one.name)) else () for one in layout.pictures]
    return _kept(layout, columns, own, f"no label in {files.printable(table.name)}", f"labels = '{path}'")


def _of_source(layout: Layout, stated: Sequence[str], source: str) -> Labelled:
    own = [tuple(picture.labels.get(name, "") for name in stated) for picture in layout.pictures]
    return _kept(layout, tuple(stated), own, "no label", f"'{source}'")


def _kept(
    layout: Layout,
    sets: tuple[str, ...],
    own: Sequence[tuple[str, ...]],
    reason: str,
    where: str,
    *,
    by_folder: bool = False,
) -> Labelled:
    """Pictures without a class in one of the sets are left out."""
    kept = [index for index, values in enumerate(own) if len(values) == len(sets) and all(values)]
    values = [own[index] for index in kept]
    for at, name in enumerate(sets):
        if len(classes := {row[at] for row in values}) < 2:
            found = f"one class only, '{files.printable(classes.pop())}'" if classes else "no class"
            raise ValueError(f"{where}: the labels '{name}' have {found}; two or more are needed, or `labels: none`")
    there = set(kept)
    missing = [picture for index, picture in enumerate(layout.pictures) if index not in there]
    return Labelled(kept, sets, values, counted(missing, reason, UNLABELLED), by_folder)


def counted(pictures: Sequence[Picture], reason: str, kind: str) -> tuple[LeftOut, ...]:
    """Pictures that are left out for one reason, by their suffixes."""
    tally = Tally()
    for picture in pictures:
        tally.add(picture.name, reason, kind)
    return tally.left_out()
