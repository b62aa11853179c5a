"""Pictures in WebDataset's tars: files of one base name make a sample, `cat1.jpg` and `cat1.cls`.

The tars are indexed by their headers once, and a picture is read by its position when it is wanted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath

from ssl_models.datasets._common import archive, files
from ssl_models.datasets._common.passed_over import PassedOver
from ssl_models.datasets._common.pictures import SUFFIXES
from ssl_models.datasets._common.split import LeftOut
from ssl_models.datasets._pictures import label_sets, shards
from ssl_models.datasets._pictures.found import Found, Picture

SUFFIX = ".tar"
COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
LABELS = {"cls": "cls", "label": "label", "json": "label"}
"""Suffixes of a sample's files that hold its class, and the name of that set of labels."""
MOST_LABEL_BYTES, MOST_CLASS_NAME = 2**20, 200
NO_LABEL = "no label in it that can be read"
Tars = tuple[list[Path], tuple[LeftOut, ...]]
"""What `files_of` gives."""


@dataclass(frozen=True, slots=True)
class Member:
    """What reads one file of a tar when it is wanted."""

    path: Path
    first: int
    length: int

    def __call__(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.first)
            content = file.read(self.length)
        if len(content) < self.length:
            raise ValueError(f"the tar '{self.path.name}' is shorter than it was")
        return content


@dataclass
class _Sample:
    """The files of one base name that are read. name: of the picture's file; "" until there is one."""

    name: str = ""
    picture: Member | None = None
    suffixes: set[str] = field(default_factory=set)
    labels: dict[str, str] = field(default_factory=dict)


def find(source: str | Path, *, column: str = "") -> Found:
    """The pictures of a tar, of all *.tar at any depth of a folder, or of NAME-{000..007}.tar, in their order.

    column: the suffix of the picture in samples that have several, such as "jpg" or "input.png". Files named .cls,
    .label, or .json with a "label" in it, tell a sample's class (label_sets.complete). A picture's name is that of its
    member, and TAR/MEMBER where there are several tars. Tars whose names hold the word train, test or validation, or
    that lie in such folders, are splits (shards.roles).
    Members that are links, devices, too large or whose name is not UTF-8 are left out and named.
    Raises FileNotFoundError for a tar that is missing, the first of a pattern; ValueError for a folder without tars, a
    compressed or damaged one, one with no file or no picture in it, two samples of one name in a tar, and several
    pictures in a sample where `column` names none.
    """
    return find_in(files_of(source), source, column=column)


def find_in(tars: Tars, source: str | Path, *, column: str = "") -> Found:
    """As `find`, where `files_of` has been asked for the tars already."""
    paths, left_out = tars
    return _found(shards.stamped(paths), shards.root_of(source, paths), left_out, column.removeprefix(".").lower())


@lru_cache(maxsize=1)
def _found(stamps: shards.Stamps, root: Path, left_out: tuple[LeftOut, ...], column: str) -> Found:
    """The tars are indexed once for as long as they stay the same: a million headers take a minute."""
    paths = [path for path, _, _ in stamps]
    names = [files.printable(path.relative_to(root).as_posix()) for path in paths]
    left = PassedOver("a picture or a label")
    skipped: list[str] = []
    tars = [_Index(path, name, column, left, skipped).pictures() for path, name in zip(paths, names, strict=True)]
    splits = [shards.split_of(name) for name in names]
    labelled = {split: True for split, tar in zip(splits, tars, strict=True) if any(labels for _, _, labels in tar)}
    roles, notes = shards.roles(splits, labelled)
    pictures, others = label_sets.complete(
        [
            Picture(f"{name}/{member}" if len(paths) > 1 else member, content, labels, roles[split])
            for name, split, tar in zip(names, splits, tars, strict=True)
            if split in roles
            for member, content, labels in tar
        ]
    )
    what = f"{len(paths):,} tars" if len(paths) > 1 else "a tar"
    return Found(pictures, what, (*left_out, *left.left_out()), tuple(skipped), (*notes, *others))


def files_of(source: str | Path) -> Tars:
    """The tars that `find` reads, and what else lies between them in a folder."""
    paths = shards.expanded(source)
    left_out: tuple[LeftOut, ...] = ()
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths, left_out = shards.in_folder(folder, SUFFIX)
        if not paths:
            packed = next((left.example for left in left_out if left.example.lower().endswith(COMPRESSED)), "")
            hint = f"; unpack {packed} and its like to a plain {SUFFIX} (gunzip, bunzip2, unxz)" if packed else ""
            raise ValueError(f"the folder '{folder}' holds no *{SUFFIX}{hint}")
    for path in paths:
        shards.check_file(path)
    return paths, left_out


@dataclass
class _Index:
    """One tar as its headers tell. name: relative to the source. column: as for `find`. first: any file in it."""

    path: Path
    name: str
    column: str
    left: PassedOver
    skipped: list[str]
    samples: dict[str, _Sample] = field(default_factory=dict)
    first: str = ""

    def pictures(self) -> list[tuple[str, Member, dict[str, str]]]:
        """Name, content and labels of each sample that has a picture, in the tar's order; ValueError for none."""
        skipped: list[str] = []
        for member, (first, length) in archive.positions(self.path, self._wanted, skipped):
            self._add(member, Member(self.path, first, length))
        self.skipped += [f"{self.name}/{text}" for text in skipped]
        found = [(s.name.removeprefix("./"), s.picture, s.labels) for s in self.samples.values() if s.picture]
        if not self.first:
            raise ValueError(f"'{self.path}' is a tar with no file in it")
        if not found:
            which = f" of the suffix '{self.column}' (column)" if self.column else ""
            why = skipped[0] if skipped else f"it holds files such as '{files.printable(self.first)}'"
            raise ValueError(f"'{self.path}' holds no picture{which} that can be read: {why}")
        return found

    def _wanted(self, member: str) -> bool:
        if PurePosixPath(member).name.startswith("."):
            return False
        self.first = self.first or member
        _, suffix = _split(member)
        known = suffix in LABELS or _is_picture(suffix)
        if not known:
            self.left.add(f"{self.name}/{member}")
        return known

    def _add(self, member: str, content: Member) -> None:
        key, suffix = _split(member)
        sample = self.samples.setdefault(key, _Sample())
        if suffix in sample.suffixes:
            raise ValueError(f"'{self.path}' has two files named '{member}'; a sample's name must be its own in a tar")
        sample.suffixes.add(suffix)
        if suffix in LABELS:
            self._add_label(sample, member, suffix, content)
        elif suffix == self.column or not self.column:
            if sample.picture:
                several = ", ".join(sorted(filter(_is_picture, sample.suffixes)))
                raise ValueError(
                    f"'{self.path}': the sample '{key}', which is a name up to its first dot, has several pictures: "
                    f"{several}; name one as `column`"
                )
            sample.name, sample.picture = member, content

    def _add_label(self, sample: _Sample, member: str, suffix: str, content: Member) -> None:
        try:
            if content.length > MOST_LABEL_BYTES:
                raise ValueError("too long")
            label = _class(suffix, content())
        except ValueError:  # UnicodeDecodeError and JSONDecodeError are such
            self.left.add_unreadable(f"{self.name}/{member}", NO_LABEL, f".{suffix}")
            return
        if label:
            sample.labels.setdefault(LABELS[suffix], label)


def _split(member: str) -> tuple[str, str]:
    """ "a/b.seg.PNG" -> "a/b", "seg.png": the sample's name, and the suffix in lower case."""
    folder, slash, name = member.rpartition("/")
    stem, _, suffix = name.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()


def _is_picture(suffix: str) -> bool:
    return f".{suffix.rpartition('.')[2]}" in SUFFIXES


def _class(suffix: str, content: bytes) -> str:
    """The class that a file of labels tells; "" for JSON that has none. Raises ValueError for what is no label."""
    text = content.decode("utf-8-sig").strip()
    if suffix == "json":
        found = json.loads(text)
        label = found.get("label") if isinstance(found, dict) else None
        if label is None:
            return ""
        if not isinstance(label, str | int):
            raise ValueError("neither a text nor a whole number")
        text = str(label).strip()
    if not text or len(text) > MOST_CLASS_NAME:
        raise ValueError("no name of a class")
    return files.printable(text)
