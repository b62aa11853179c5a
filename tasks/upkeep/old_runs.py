"""Folders of runs that params.yaml no longer has, and what would be lost with them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.project.paths import Places
from tasks.project.project import Project
from tasks.settings.encoders import TRAININGS
from tasks.staleness import dvc_cache, run_cache
from tasks.upkeep import disk


def folders(project: Project) -> list[Path]:
    """runs/DATA/RUN and metrics/DATA/RUN, of every data set, where no block of params.yaml is called RUN."""
    known = set(_runs(project.parameters))
    found: list[Path] = []
    for name in {path.name for top in ("runs", "metrics") for path in (project.root / top).glob("*") if path.is_dir()}:
        places = Places(project.root, name)
        tops = (places.encoder("run").parents[1], places.metrics)
        every = [path for top in tops for path in top.glob("*") if path.is_dir() and not path.is_symlink()]
        found += [path for path in every if path.name not in known and path != places.pictures]
    return sorted(found)


def said(project: Project, cache: Path, old: Sequence[Path], going: Collection[Path]) -> str:
    """Which runs they are, and what removing their folders loses. going: objects of DVC's cache that go as well."""
    if not old:
        return ""
    kept = _kept(project, cache, going)
    by_run: dict[str, list[Path]] = {}
    for path in old:
        by_run.setdefault(f"{path.name} on {path.parent.name}", []).append(path)
    lost = [run for run, own in by_run.items() if not all(_is_kept(project, path, kept) for path in own)]
    words = f"Old runs, which params.yaml no longer has: {', '.join(by_run)}. "
    if lost:
        words += f"Not all of {', '.join(lost)} is in DVC's cache: what is removed of it is lost and must be computed "
        words += "again. "
    if safe := [run for run in by_run if run not in lost]:
        words += f"DVC's cache has {', '.join(safe)} too. "
    return words + "`covey gc --old-runs` removes their folders; the next run makes maps and report anew."


def _runs(parameters: Mapping[str, Any]) -> Iterator[str]:
    """The runs of every kind of data."""
    for block in (parameters, *(parameters.get("kinds") or {}).values()):
        for name in TRAININGS:
            yield from block.get(name) or {}


def _kept(project: Project, cache: Path, going: Collection[Path]) -> set[str]:
    """Outputs, by their paths, of which DVC's cache has what was last written, and will have it still."""
    last: dict[str, str] = {}
    for entry in sorted(run_cache.entries(cache), key=lambda entry: entry.when):
        last |= entry.outputs
    last |= run_cache.of_lock(project.root)
    gone = {path.parent.name + path.name for path in going}

    def stays(digest: str) -> bool:
        every = {digest, *dvc_cache.members(cache, digest).values()}
        return dvc_cache.holds(cache, digest) and gone.isdisjoint(every)

    return {path for path, digest in last.items() if stays(digest)}


def _is_kept(project: Project, folder: Path, kept: Collection[str]) -> bool:
    """Whether every file of a folder belongs to such an output."""
    paths = [file.relative_to(project.root) for file in disk.files_in(folder)]
    return all(any(str(each) in kept for each in (path, *path.parents)) for path in paths)
