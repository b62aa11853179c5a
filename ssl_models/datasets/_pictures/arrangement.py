"""Labels, groups and splits of the pictures that a source holds, whatever its kind, before any is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl_models.datasets._common import collection, files
from ssl_models.datasets._common.choices import check_test_fraction
from ssl_models.datasets._common.passed_over import in_short
from ssl_models.datasets._common.split import UNUSED, LeftOut
from ssl_models.datasets._folder.draw import chosen_for_test
from ssl_models.datasets._pictures import groups as grouping
from ssl_models.datasets._pictures import tables
from ssl_models.datasets._pictures.found import Content, Found, Picture
from ssl_models.datasets._pictures.labels import Labelled, counted, labelled
from ssl_models.datasets._pictures.layout import Layout, laid_out


@dataclass(frozen=True)
class Entry:
    """One picture of a split, not opened yet.

    name: relative to the source. label: an index into Listing.classes, -1 for none. further: its classes in the further
    sets of labels, an index for each of Listing.label_sets in their order, -1 for none. group: "" where none is known.
    """

    name: str
    content: Content
    label: int = -1
    further: tuple[int, ...] = ()
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The pictures of both splits, in the order in which they are decoded.

    classes: empty where there are no labels. label_sets: further sets of labels -> the names of their classes.
    what: what the source was taken for, with its labels and groups; skipped, left_out, notes: as in found.Found.
    """

    train: Sequence[Entry]
    test: Sequence[Entry]
    classes: tuple[str, ...] = ()
    label_sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    what: str = ""


@collection.paused()
def arranged(
    found: Found,
    *,
    source: str,
    labels: str = "auto",
    group: str = "",
    test_fraction: float = 0.2,
    seed: int = 0,
    folders: bool = True,
) -> Listing:
    """The listing of what a source holds.

    Splits: those that the source tells; else train/ and test/ (or val/, valid/, validation/; only the first of them
    that is there is used); else a part test_fraction, drawn with `seed` within each class, is the test split.
    labels: "auto": those that the source tells, the first set of them as the labels and the others as further sets;
        else class folders, where all pictures lie exactly one deep, in two or more; else none.
      "folders": the class is the first folder, below train/ and test/ where these are, however deep a picture lies.
      "none". NAME: of a set that the source tells, which comes first.
      FILE.csv: the columns `file` (a name relative to the source) and any number of others: the first is the labels,
        the others are further sets; a column `group` is none of them.
      Pictures without a label in each of the sets are left out, and counted.
    group: "": none. "folder": the folder that holds a picture. "day": the date of EXIF's DateTimeOriginal, else of the
        file's last change. FILE.csv: the columns `file` and `group`; a picture without a row is a group of its own.
      A group lies in one split whole (groups.Draw).
    source: only named in errors. folders: whether the folders of names may tell splits, and classes under "auto".
    Raises FileNotFoundError and ValueError, naming the setting: an unknown value, a table that cannot be used, labels
    of one class, a class that only the test split has, a group in both given splits, too few pictures.
    """
    check_test_fraction(test_fraction)
    layout = laid_out(found.pictures, source, folders)
    tabled = tables.is_table(labels) or tables.is_table(group)
    names = {**found.called, **{picture.name: picture.name for picture in found.pictures}} if tabled else {}
    own = labelled(layout, labels, source, names, folders=folders)
    pictures = [layout.pictures[index] for index in own.kept]
    of, notes = grouping.grouped(pictures, group, source, names)
    entries, classes = _entries(pictures, own, of)
    if layout.splits:
        splits: Sequence[str] = [layout.splits[index] for index in own.kept]
        if group:
            grouping.check_apart(of, splits, group, source)
    elif group:
        splits = grouping.drawn(of, [entry.label for entry in entries], test_fraction, seed, group)
        notes += grouping.part_told(splits, test_fraction)
    else:
        splits = _drawn(entries, test_fraction, seed)
    train, test = (_of_split(entries, splits, name) for name in ("train", "test"))
    _check(train, test, classes[0] if classes else (), layout, source, test_fraction, found)
    aside = [(f"in {name}/ while {layout.test_name}/ is the test split", several) for name, several in layout.aside]
    notes += tuple(f"the folder {name}/ passed over: {layout.test_name}/ is the test split" for name, _ in layout.aside)
    return Listing(
        train,
        test,
        classes[0] if classes else (),
        dict(zip(own.sets[1:], classes[1:], strict=True)),
        found.skipped,
        (*found.notes, *notes),
        (*found.left_out, *own.left_out, *(one for why, several in aside for one in counted(several, why, UNUSED))),
        _described(found, layout, own, classes) + (f", in {len(set(of)):,} groups" if group else ""),
    )


def told(listing: Listing) -> str:
    """What a source was taken for, in one line, such as "312 folders two deep: no labels; 19,874 pictures, 126 left
    out: 121 .mov, 5 unreadable".
    """
    total = len(listing.train) + len(listing.test)
    without = in_short(listing.left_out)
    return f"{listing.what}; {total:,} pictures{f', {without}' if without else ''}"


def csv_files(labels: str, group: str) -> Iterator[tuple[str, Path]]:
    """The tables that these settings name: the setting, and the file."""
    for name, value in (("labels", labels), ("group", group)):
        if tables.is_table(value):
            yield name, Path(value).expanduser()


def opened(found: Found, labels: str, group: str) -> Iterator[tuple[str, Path | None]]:
    """The tables that these settings name, then the files among the pictures, then what is known to be unreadable.

    Each with its name; the last ones are named with the reason, and have no path.
    """
    yield from csv_files(labels, group)
    for picture in found.pictures:
        if isinstance(picture.content, Path):
            yield picture.name, picture.content
    for text in found.skipped:
        yield text, None


def _entries(
    pictures: Sequence[Picture], own: Labelled, of: Sequence[str]
) -> tuple[list[Entry], list[tuple[str, ...]]]:
    """The entries in the order of the pictures, and the classes of each set of labels, sorted. of: their groups."""
    if not own.sets:
        named = zip(pictures, of, strict=True)
        return [Entry(picture.name, picture.content, group=group) for picture, group in named], []
    classes = [tuple(sorted({row[at] for row in own.values})) for at in range(len(own.sets))]
    numbers = [{name: number for number, name in enumerate(several)} for several in classes]
    entries = []
    for picture, row, group in zip(pictures, own.values, of, strict=True):
        label, *further = (known[name] for known, name in zip(numbers, row, strict=True))
        entries.append(Entry(picture.name, picture.content, label, tuple(further), group))
    return entries, classes


def _drawn(entries: Sequence[Entry], test_fraction: float, seed: int) -> list[str]:
    """ "train" or "test" for each entry: a part of each class is drawn for test."""
    of_label: dict[int, list[int]] = {}
    for index, entry in enumerate(entries):
        of_label.setdefault(entry.label, []).append(index)
    splits = ["train"] * len(entries)
    for label, indices in of_label.items():
        for chosen in chosen_for_test(len(indices), test_fraction, (seed, max(label, 0))):
            splits[indices[chosen]] = "test"
    return splits


def _of_split(entries: Sequence[Entry], splits: Sequence[str], wanted: str) -> list[Entry]:
    """The entries of a split, class by class, each class in the order of the source."""
    own = [entry for entry, split in zip(entries, splits, strict=True) if split == wanted]
    return sorted(own, key=lambda entry: entry.label)


def _check(
    train: Sequence[Entry],
    test: Sequence[Entry],
    classes: Sequence[str],
    layout: Layout,
    source: str,
    test_fraction: float,
    found: Found,
) -> None:
    """Raises ValueError for a split without a picture, and for a class that only the test split has."""
    if not train or not test:
        what = [*found.skipped, *found.notes, *([in_short(found.left_out)] if found.left_out else [])]
        other = f" ({what[0]})" if what else ""
        if layout.splits:
            empty = "test" if train else "training"
            raise ValueError(f"'{source}': its {empty} split has no picture that can be used{other}")
        count = f"{len(train) + len(test):,} images"
        raise ValueError(
            f"'{source}' holds {count}: too few to give {test_fraction} of each class to a test split{other}"
        )
    if extra := sorted({entry.label for entry in test} - {entry.label for entry in train}):
        name = files.printable(classes[extra[0]])
        own, other = (
            (f"'{source}/{layout.test_name}'", f"'{source}/train'")
            if layout.test_name
            else (f"the test split of '{source}'", "the training split")
        )
        raise ValueError(f"{own} has the class '{name}', of which {other} has no images")


def _described(found: Found, layout: Layout, own: Labelled, classes: Sequence[tuple[str, ...]]) -> str:
    """What the source was taken for, and its labels: "10 class folders: 10 labels, 3 of camera"."""
    what, splits = found.what, layout.described()
    if own.by_folder:
        what = f"{splits + ' with ' if splits else ''}{len(classes[0]):,} class folders"
    elif splits:
        what = f"{splits}, {what}"
    if not classes:
        return f"{what}: no labels"
    further = "".join(f", {len(several):,} of {name}" for name, several in zip(own.sets[1:], classes[1:], strict=True))
    return f"{what}: {len(classes[0]):,} labels{further}"
