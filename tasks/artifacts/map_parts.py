"""Parts of maps that are kept from one run of the stage `atlas` to the next: layouts take minutes, thumbnails seconds.

A part is a folder of files under the hash of all that shapes them. So a map that is made again after a change of scores
alone takes over the files, whose bytes are those that it would write.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tasks.process import files

PACKAGES = ("numpy", "scipy", "scikit-learn", "faiss-cpu", "faiss-gpu", "openTSNE", "pillow", "pyarrow")
LIST = "files.json"
"""In each part: the names of its files and their hashes. It is written last."""
KEPT = 32
"""Parts that stay; of maps that were made longer ago the files are removed."""


@dataclass
class Parts:
    """The parts in a folder. made, used: the keys of those asked for, new ones and all."""

    folder: Path
    made: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)

    def get(self, key: str, make: Callable[[Path], None]) -> Path:
        """The folder of a part. make: writes its files into the folder that it is given, where there are none."""
        place = self.folder / key
        if not _whole(place):
            fresh = self.folder / f".{key}.{os.getpid()}"
            try:
                fresh.mkdir(parents=True)
                make(fresh)
                files.write_json(fresh / LIST, {path.name: _hash(path) for path in sorted(fresh.iterdir())})
                shutil.rmtree(place, ignore_errors=True)
                os.replace(fresh, place)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
            self.made.append(key)
        os.utime(place)
        self.used.append(key)
        return place

    def tidy(self) -> None:
        """Removes the parts that were not used for longest, down to KEPT, and what a killed process has left."""
        others = [path for path in self.folder.glob("*") if path.name not in self.used]
        others.sort(key=lambda path: (not path.name.startswith("."), path.stat().st_mtime))
        unfinished = sum(path.name.startswith(".") for path in others)
        for path in others[: max(unfinished, len(others) + len(set(self.used)) - KEPT)]:
            shutil.rmtree(path, ignore_errors=True)


def key_of(*shaping: Any) -> str:
    """The hash of what shapes a part, plain enough for JSON, and of the packages that make it."""
    content = json.dumps([shaping, list(_versions())], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:32]


def _versions() -> Iterator[str]:
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def _whole(place: Path) -> bool:
    """Whether a part is there and its files are as they were written."""
    listed = files.remembered(place / LIST)
    return bool(listed) and all((place / name).is_file() and _hash(place / name) == of for name, of in listed.items())


def _hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
