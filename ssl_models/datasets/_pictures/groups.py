"""Groups of pictures that lie in one split whole: a burst, a patient, a day; and the split that is drawn over them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common import files
from ssl_models.datasets._common.in_order import in_order
from ssl_models.datasets._pictures import tables
from ssl_models.datasets._pictures.found import Content, Picture

FOLDER, DAY, GROUP = "folder", "day", "group"
EXIF, TAKEN = 0x8769, 0x9003
"""The part of EXIF that tells how a picture was taken, and the entry DateTimeOriginal of it."""
REMEMBERED = 2**18
"""Files whose days are remembered."""
FAR = 0.05
"""A test split further than this from the part that was asked for is told."""


def grouped(
    pictures: Sequence[Picture], group: str, source: str, names: Mapping[str, str]
) -> tuple[list[str], tuple[str, ...]]:
    """The group of each picture, and notes; `arrangement.arranged` tells what `group` may be.

    names: what a table may call the pictures of the source -> their names. Raises ValueError for an unknown value, and
    for a table that cannot be used.
    """
    if not group:
        return [""] * len(pictures), ()
    if group == FOLDER:
        return [PurePosixPath(picture.name).parent.as_posix() for picture in pictures], ()
    if group == DAY:
        return _days(pictures)
    if not tables.is_table(group):
        known = f"{FOLDER}, {DAY}, a file NAME.csv, or empty for none"
        raise ValueError(f"group = '{files.printable(group)}': it must be one of: {known}")
    path = Path(group).expanduser()
    table = tables.read(path, names, source, GROUP)
    if GROUP not in table.columns:
        columns = files.printable(", ".join(table.columns))
        raise ValueError(f"group = '{path}': no column is called `{GROUP}`; there are file, {columns}")
    own = table.column(GROUP)
    found = [own.get(picture.name, "") for picture in pictures]
    return _each_for_itself(pictures, found, f"no group in {files.printable(path.name)}")


def _days(pictures: Sequence[Picture]) -> tuple[list[str], tuple[str, ...]]:
    taken = list(in_order(_day_of, pictures))
    changed = [day or _changed(picture) for day, picture in zip(taken, pictures, strict=True)]
    notes: tuple[str, ...] = ()
    if count := sum(not day and bool(last) for day, last in zip(taken, changed, strict=True)):
        notes = (f"{count:,} pictures tell no day in their EXIF: that of the file's last change (UTC) counts",)
    days, more = _each_for_itself(pictures, changed, "no day")
    return days, (*notes, *more)


def _day_of(picture: Picture) -> str:
    """As EXIF tells: "2024-05-01"; "" where it does not."""
    if not isinstance(picture.content, Path):
        return _day_in(picture.content)
    try:
        found = picture.content.stat()
    except (OSError, ValueError):
        return ""
    return _day_in_file(picture.content, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=REMEMBERED)
def _day_in_file(path: Path, _size: int, _changed: int) -> str:
    """Remembered for as long as the file stays the same, as a command looks at its data more than once."""
    return _day_in(path)


def _day_in(content: Content) -> str:
    from ssl_models.datasets._common import pictures

    try:
        with pictures.opened(content() if callable(content) else content) as image:
            text = str(image.getexif().get_ifd(EXIF).get(TAKEN, ""))
        return datetime.strptime(text[:10], "%Y:%m:%d").date().isoformat()
    except MemoryError:
        raise
    except Exception:  # Pillow raises many types for broken files; what cannot be read is named by who decodes it
        return ""


def _changed(picture: Picture) -> str:
    if not isinstance(picture.content, Path):
        return ""
    try:
        return datetime.fromtimestamp(picture.content.stat().st_mtime, UTC).date().isoformat()
    except (OSError, ValueError, OverflowError):
        return ""


def _each_for_itself(pictures: Sequence[Picture], found: list[str], why: str) -> tuple[list[str], tuple[str, ...]]:
    """Pictures without a group are one each, called as the picture."""
    alone = sum(not name for name in found)
    notes = (f"{alone:,} pictures have {why}: each is a group of its own",) if alone else ()
    return [name or picture.name for name, picture in zip(found, pictures, strict=True)], notes


def check_apart(groups: Sequence[str], splits: Sequence[str], group: str, source: str) -> None:
    """Raises ValueError for a group of which both given splits have pictures."""
    split_of = [{own for own, part in zip(groups, splits, strict=True) if part == name} for name in ("train", "test")]
    if both := sorted(split_of[0] & split_of[1]):
        raise ValueError(
            f"group = '{group}': {len(both):,} groups have pictures in both splits of '{source}', the first "
            f"'{files.printable(both[0])}'; move them to one side, or leave `group` empty"
        )


@dataclass
class Draw:
    """A test split of whole groups with about `test_fraction` of the pictures, drawn with `seed`.

    groups, labels: of each picture; the label is -1 for none. A group counts with the most common label in it. Within a
    label groups are drawn in random order, each taken if that brings its part nearer to test_fraction; at least one,
    the smallest, and never all. A group goes back to train if a class would have none of its pictures there.
    """

    groups: Sequence[str]
    labels: Sequence[int]
    test_fraction: float
    seed: int
    _of: dict[str, Counter[int]] = field(default_factory=dict)

    def chosen(self) -> set[str]:
        """The groups of the test split; empty where no label has two groups."""
        for name, label in zip(self.groups, self.labels, strict=True):
            self._of.setdefault(name, Counter())[label] += 1
        strata: dict[int, list[str]] = {}
        for name, counts in self._of.items():
            strata.setdefault(min(counts, key=lambda label: (-counts[label], label)), []).append(name)
        found: set[str] = set()
        for label, names in sorted(strata.items()):
            found |= self._of_label(max(label, 0), names)
        return self._with_every_class_in_train(found)

    def _of_label(self, label: int, names: list[str]) -> set[str]:
        import numpy as np

        sizes = {name: self._of[name].total() for name in names}
        target, taken, found = sum(sizes.values()) * self.test_fraction, 0, list[str]()
        for index in np.random.default_rng((self.seed, label)).permutation(len(names)):
            name = names[index]
            if abs(taken + sizes[name] - target) < abs(taken - target) and len(found) < len(names) - 1:
                found.append(name)
                taken += sizes[name]
        return set(found or sorted(names, key=sizes.__getitem__)[: min(1, len(names) - 1)])

    def _with_every_class_in_train(self, found: set[str]) -> set[str]:
        train = {label for name, counts in self._of.items() if name not in found for label in counts}
        for name in sorted(found, key=lambda name: (self._of[name].total(), name)):
            if not self._of[name].keys() <= train:
                found = found - {name}
                train |= self._of[name].keys()
        return found


def drawn(groups: Sequence[str], labels: Sequence[int], test_fraction: float, seed: int, group: str) -> list[str]:
    """ "train" or "test" for each picture. Raises ValueError where there are too few groups for a test split."""
    test = Draw(groups, labels, test_fraction, seed).chosen()
    if not test:
        first, several = files.printable(groups[0]), len(set(groups))
        why = f"all pictures are of one group, '{first}'" if several == 1 else "no class has pictures of two groups"
        raise ValueError(
            f"group = '{group}': {why}, so that a test split of whole groups cannot be drawn; leave `group` empty, or "
            "name smaller groups"
        )
    return ["test" if name in test else "train" for name in groups]


def part_told(splits: Sequence[str], test_fraction: float) -> tuple[str, ...]:
    """A note where groups made the test split another part than was asked for."""
    part = sum(split == "test" for split in splits) / len(splits)
    if abs(part - test_fraction) <= FAR:
        return ()
    return (f"the test split has {part:.0%} of the pictures, not {test_fraction:.0%}: groups stay whole",)
