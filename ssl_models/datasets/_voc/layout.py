"""Finds the pictures and annotations of PASCAL VOC's layout, in folders or an archive; opens no picture.

[ROOT/]Annotations/NAME.xml    [ROOT/]JPEGImages/NAME.jpg    [ROOT/]ImageSets/Main/SPLIT.txt, a NAME a line
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ssl_models.datasets._common import files
from ssl_models.datasets._common.archive import members
from ssl_models.datasets._common.pictures import SUFFIXES

ANNOTATIONS, IMAGES, LISTS = FOLDERS = ("Annotations", "JPEGImages", "ImageSets/Main")
IN_A_ROOT = re.compile(rf"(?:(.*)/)?({'|'.join(FOLDERS)})/([^/.][^/]*)")


@dataclass(frozen=True)
class Listed:
    """A picture of a split: the name of its annotation, that itself, and the image."""

    name: str
    annotation: Path | bytes
    image: Path | bytes


@dataclass(frozen=True)
class Listing:
    """The pictures of both splits, and a text for what was listed but is not there. place: where all was found."""

    train: list[Listed]
    test: list[Listed]
    skipped: list[str]
    place: str


@dataclass(frozen=True)
class _Root:
    """A folder that holds FOLDERS. name: "" or ending with a slash. files: "Annotations/x.xml" -> where or what."""

    name: str
    files: dict[str, Path | bytes] = field(default_factory=dict)


def find(source: str, archive: str, train: str, test: str) -> Listing:
    """The pictures that voc.load's settings name, each once and in the lists' order; raises as it does."""
    skipped: list[str] = []
    roots, place = _roots(source, archive, skipped)
    known = sorted({Path(name).stem for root in roots for name in root.files if name.startswith(LISTS)})
    if not known:
        raise ValueError(
            f"'{place}' holds no lists in {LISTS}, which tell the training from the test pictures: write train.txt and "
            "test.txt there, with the name of a picture, less its suffix, on each line"
        )
    test = test or ("test" if any(f"{LISTS}/test.txt" in root.files for root in roots) else "val")
    likely = ("train", "trainval") if "val" in re.split(r"[+/]", test) else ("trainval", "train")
    splits = []
    for setting, value in (("train", train), ("test", test)):
        lists = _lists(roots, value) if value else _first_of_each(roots, likely)
        if not lists:
            given = f"{setting} = '{value}'" if value else f"there is no list {' or '.join(likely)}, so {setting}"
            raise ValueError(f"'{place}': {given} must name lists in {LISTS}: {', '.join(known)}")
        splits.append({entry.name: entry for root, path in lists for entry in _entries(root, path, skipped)})
    if both := splits[0].keys() & splits[1].keys():
        raise ValueError(f"'{place}': {min(both)} is in the training and in the test split; set train and test")
    return Listing(list(splits[0].values()), list(splits[1].values()), list(dict.fromkeys(skipped)), place)


def content(file: Path | bytes) -> bytes:
    """What a file holds. Raises ValueError for a pipe, a device, a link to nothing or a file that is too large."""
    return file if isinstance(file, bytes) else files.read(file)


def _roots(source: str, archive: str, skipped: list[str]) -> tuple[list[_Root], str]:
    """The folders of the layout in order, and the place where they were found."""
    data = os.environ.get("COVEY_DATA")
    given = [Path(source).expanduser()] if source else []
    if not source or not given[0].is_dir():
        given = [Path(data) / archive.partition(".")[0], Path(data) / archive] if data and archive else []
    for place in given:
        if place.is_dir():
            return _grouped(_in_folder(place), str(place)), str(place)
        if place.is_file():
            return _grouped(_in_archive(place, skipped), str(place)), str(place)
    raise FileNotFoundError(
        f"no pictures in VOC's layout: source = '{source}' is not a folder, and archive = '{archive}' is neither a "
        f"folder nor a file in $COVEY_DATA ({data or 'not set'})"
    )


def files_in(place: Path) -> list[tuple[str, Path]]:
    """Name and path of the annotations, pictures and lists in a folder. Raises ValueError for another layout."""
    found = [(name, path) for name, path in _in_folder(place) if IN_A_ROOT.fullmatch(name)]
    _grouped(found, str(place))
    return sorted(found)


def _in_folder(place: Path) -> Iterable[tuple[str, Path]]:
    for depth in ("", "*/", "*/*/"):
        roots = [found.parent for found in place.glob(f"{depth}Annotations") if found.is_dir()]
        for root in roots:
            for path in (path for folder in FOLDERS if (root / folder).is_dir() for path in (root / folder).iterdir()):
                yield path.relative_to(place).as_posix(), path
        if roots:
            return


def _in_archive(path: Path, skipped: list[str]) -> Iterable[tuple[str, bytes]]:
    for name, data in members(path, IN_A_ROOT.fullmatch, skipped):
        yield name.removeprefix("./"), data


def _grouped(files: Iterable[tuple[str, Path | bytes]], place: str) -> list[_Root]:
    roots: dict[str, _Root] = {}
    for name, content in files:
        if found := IN_A_ROOT.fullmatch(name):
            prefix = f"{found[1]}/" if found[1] else ""
            roots.setdefault(prefix, _Root(prefix)).files[f"{found[2]}/{found[3]}"] = content
    if not roots:
        raise ValueError(f"'{place}' must hold VOC's folders {', '.join(FOLDERS)}, or folders that do")
    return [roots[name] for name in sorted(roots)]


def _lists(roots: list[_Root], wanted: str) -> list[tuple[_Root, str]]:
    """wanted: "trainval", or "VOC2007/trainval+VOC2012/train"; nothing where one of them is missing everywhere."""
    found = []
    for part in (part.strip() for part in wanted.split("+")):
        folder, _, name = part.rpartition("/")
        path = f"{LISTS}/{name}.txt"
        own = [
            root for root in roots if path in root.files and f"/{root.name}".endswith(f"/{folder}/" if folder else "")
        ]
        if not own:
            return []
        found += [(root, path) for root in own]
    return found


def _first_of_each(roots: list[_Root], names: Iterable[str]) -> list[tuple[_Root, str]]:
    paths = [f"{LISTS}/{name}.txt" for name in names]
    return [(root, found[0]) for root in roots if (found := [path for path in paths if path in root.files])]


def _entries(root: _Root, path: str, skipped: list[str]) -> list[Listed]:
    images: dict[str, list[str]] = {}
    others: dict[str, str] = {}
    for file in sorted(name for name in root.files if name.startswith(f"{IMAGES}/")):
        if Path(file).suffix.lower() in SUFFIXES:
            images.setdefault(Path(file).stem, []).append(file)
        else:
            others[Path(file).stem] = file
    found = []
    text = content(root.files[path])
    encoding = "utf-16" if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    for line in text.decode(encoding, "replace").splitlines():
        name = line.strip()
        if f"{ANNOTATIONS}/{name}.xml" not in root.files:
            name = re.sub(r"\s+(-1|0|1)$", "", name)  # the lists of one class tell whether it is there
        annotation = f"{ANNOTATIONS}/{name}.xml"
        if annotation not in root.files:
            skipped += [f"{root.name}{path}: '{name}' has no annotation"] if name else []
        elif name not in images:
            unread = f"; the suffix of {others[name]} is none of a picture that is read" if name in others else ""
            skipped.append(f"{root.name}{annotation}: the image {IMAGES}/{name}.jpg is missing{unread}")
        else:
            first, *more = images[name]
            same = f"{first} has the same name, and the first by suffix is taken"
            skipped += [f"{root.name}{other}: {same}" for other in more]
            found.append(Listed(root.name + annotation, root.files[annotation], root.files[first]))
    return found
