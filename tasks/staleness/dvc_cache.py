"""Damaged objects of DVC's cache. DVC trusts whatever has the right name there, and would take it for an output."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.project import paths
from tasks.staleness import dvc_internals, lock_file


class DamagedObjects(RuntimeError):
    """Objects of a stage's outputs were damaged, and are removed: the stage has to run again."""

    def __init__(self, found: list[Path]) -> None:
        super().__init__(
            f"{len(found)} files of DVC's cache were damaged and are removed, {found[0]} first. What they held is made "
            "again. If it was not by hand, look at the disk."
        )


def refuse_damaged(root: Path, stage: str, before: float) -> None:
    """Looks at the objects of a stage's outputs that were in the cache before a time, and removes damaged ones.

    Raises:
        DamagedObjects: there were some.
    """
    cache = dvc_internals.cache_folder(root)
    damaged = [path for path in _objects(cache, root, stage) if path.stat().st_mtime < before and not _is_whole(path)]
    for path in damaged:
        path.unlink()
    if damaged:
        raise DamagedObjects(damaged)


def _objects(cache: Path, root: Path, stage: str) -> Iterator[Path]:
    """The objects of a stage's outputs, and of the files in them, as far as they are there."""
    for out in outs(root, stage):
        digest = str(out.get("md5", ""))
        objects = [place(cache, digest), *(place(cache, member) for member in members(cache, digest).values())]
        yield from (path for path in objects if path.is_file())


def outs(root: Path, stage: str) -> list[dict[str, Any]]:
    """What dvc.lock says of a stage's outputs."""
    from dvc.utils.serialize import parse_yaml

    try:
        entry = lock_file.read(root / paths.LOCK, [stage]).get(stage, "")
    except lock_file.OddLockFile:
        return []
    return list(parse_yaml(entry, paths.LOCK)[stage].get("outs", ())) if entry else []


def members(cache: Path, digest: str) -> dict[str, str]:
    """The files of a folder, by their paths in it, and their digests; none where its object is not there, or damaged.

    digest: of a folder's object; of any other there are none.
    """
    if not digest.endswith(".dir"):
        return {}
    try:
        return {str(item["relpath"]): str(item["md5"]) for item in json.loads(place(cache, digest).read_text())}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def place(cache: Path, digest: str) -> Path:
    """Where the cache keeps an object."""
    return cache / digest[:2] / digest[2:]


def holds(cache: Path, digest: str) -> bool:
    """Whether the cache has an object; of a folder, also the objects of the files in it."""
    return place(cache, digest).is_file() and all(
        place(cache, member).is_file() for member in members(cache, digest).values()
    )


def _is_whole(path: Path) -> bool:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == path.parent.name + path.stem
