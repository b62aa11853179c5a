"""Whose files lie where a stage writes. DVC removes a stage's outputs before it starts, so all of them must be ours.

A file is ours if Covey has noted its name (.covey/outputs), if dvc.lock lists it, or if DVC's cache holds its bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project.paths import Places
from tasks.project.project import Project
from tasks.staleness import dvc_cache, dvc_internals
from tasks.staleness.graph import Stage

SHOWN = 3
"""How many files a message names."""


class ForeignFilesError(RuntimeError):
    """Where a stage would write lie files that no stage has written."""

    def __init__(self, path: str, found: list[str]) -> None:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        super().__init__(
            f"{path} is where this stage writes, and it would be emptied first. It holds files that Covey has not "
            f"written: {', '.join(found[:SHOWN])}{more}. Move them to another place, then run again."
        )


def refuse_foreign(project: Project, stage: Stage) -> None:
    """Raises ForeignFilesError if the start of this stage would remove files that nothing has noted and no cache holds.

    Outputs that DVC does not keep are tables which belong into git; they are left out.
    """
    for path in stage.outputs:
        if path not in stage.uncached and (found := foreign(project, path, stage.name)):
            raise ForeignFilesError(path, found)


def foreign(project: Project, path: str, stage: str) -> list[str]:
    """The files at an output's path, relative to the project, that are not ours."""
    unknown = set(_names(project.root / path))
    if not unknown or (noted := _noted(project, path)) == [None]:
        return []
    if not (unknown := unknown - set(noted)) or not (unknown := unknown - set(_in_lock(project.root, path, stage))):
        return []
    cache = dvc_internals.cache_folder(project.root)
    return sorted(path + name for name in unknown if not _held(cache, project.root / (path + name)))


def occupied(project: Project, name: str) -> bool:
    """Whether the folders of a new data set of this name hold files that are not ours."""
    places = Places(project.root, name)
    folders = (places.dataset, places.metrics, places.maps, places.encoder("x").parents[1])
    return any(foreign(project, folder.relative_to(project.root).as_posix(), "prepare") for folder in folders)


def claim(project: Project, stage: Stage) -> None:
    """Notes that the stage is writing: until `settle`, whatever lies at its outputs is its own."""
    for path in stage.outputs:
        files.write_json(_note(project, path), [None])


def settle(project: Project, stage: Stage) -> None:
    """Notes the names of the files that lie at the stage's outputs, which it has just written."""
    for path in stage.outputs:
        files.write_json(_note(project, path), list(_names(project.root / path)))


def _names(path: Path) -> Iterator[str]:
    """ "" for a file; for a folder the path of each file in it, with a slash first. Links are not followed."""
    if path.is_symlink() or not path.is_dir():
        if path.is_symlink() or path.exists():
            yield ""
        return
    for folder, _, members in os.walk(path):
        inner = Path(folder).relative_to(path).as_posix()
        for member in sorted(members):
            if not files.is_temporary(Path(member)):
                yield f"/{member}" if inner == "." else f"/{inner}/{member}"


def _note(project: Project, path: str) -> Path:
    return project.state / "outputs" / f"{hashlib.sha256(path.encode()).hexdigest()[:24]}.json"


def _noted(project: Project, path: str) -> list[Any]:
    try:
        return list(files.read_json(_note(project, path)))
    except (OSError, ValueError, TypeError):
        return []


def _in_lock(root: Path, path: str, stage: str) -> list[str]:
    """The names that dvc.lock lists at this path; of a folder, what DVC's cache says of it."""
    digest = next((str(out.get("md5", "")) for out in dvc_cache.outs(root, stage) if out["path"] == path), "")
    if not digest.endswith(".dir"):
        return [""] if digest else []
    return [f"/{name}" for name in dvc_cache.members(dvc_internals.cache_folder(root), digest)]


def _held(cache: Path, file: Path) -> bool:
    """Whether DVC's cache holds a file's bytes."""
    if not file.is_file():
        return file.is_symlink() and not file.exists()  # a dangling link holds nothing
    with open(file, "rb") as content:
        digest = hashlib.file_digest(content, "md5").hexdigest()
    return dvc_cache.place(cache, digest).exists()
