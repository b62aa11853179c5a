"""What a project holds beside its workspace, what each part is needed for, and which files would go."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tasks.project import paths
from tasks.project.project import Project
from tasks.staleness import dvc_internals, run_cache
from tasks.upkeep import disk, models, needs, old_runs
from tasks.upkeep.models import Version

UNFINISHED_DAYS = 30.0
"""How old the checkpoints of a stage that never ended must be, or older if the user says so."""


@dataclass(frozen=True)
class Choice:
    """What the user lets go beside what nothing needs.

    other_data: results of data sets that are not selected. experiments: of sweeps and studies. old_runs: the folders of
    runs that params.yaml no longer has. older_than: nothing that was written fewer days ago goes.
    """

    other_data: bool = False
    experiments: bool = False
    old_runs: bool = False
    older_than: float = 0.0

    def old(self, path: Path, least: float = 0.0) -> bool:
        """Whether something was written so long ago that it may go. least: days that it is kept in any case."""
        return disk.age(path) >= max(least, self.older_than)


@dataclass(frozen=True)
class Item:
    """One part. going: the files and folders that would be removed; versions: of models, likewise."""

    title: str
    held: int
    going: tuple[Path, ...] = ()
    versions: tuple[Version, ...] = ()


@dataclass(frozen=True)
class Holdings:
    """All parts, and the bytes that removing what would go frees; note: what is left alone, and what would be lost."""

    items: tuple[Item, ...]
    freed: int
    note: str = ""

    @property
    def going(self) -> list[Path]:
        return [path for item in self.items for path in item.going]

    @property
    def versions(self) -> list[Version]:
        return [version for item in self.items for version in item.versions]


def look(project: Project, stages: Collection[str], choice: Choice) -> Holdings:
    """What is held. stages: the names of all stages that there are."""
    cache = dvc_internals.cache_folder(project.root)
    shared = not cache.resolve().is_relative_to(project.root.resolve())
    items = [*_of_cache(project, cache, choice, shared=shared), *_of_state(project, stages, choice)]
    objects = [path for item in items for path in item.going if path.is_relative_to(cache)]
    old = old_runs.folders(project)
    going = tuple(path for path in old if choice.old_runs and choice.old(path))
    items.append(Item("old runs in the workspace", disk.used(old), going))
    notes = [f"DVC's cache {cache} is outside of this project and may be another's too: it is left alone."] * shared
    notes += [words] if (words := old_runs.said(project, cache, old, objects)) else []
    found = Holdings(tuple(items), 0, "\n".join(notes))
    return replace(found, freed=disk.freed([*found.going, *(version.folder for version in found.versions)]))


def remove(project: Project, found: Holdings, forget: Callable[[list[Version]], None]) -> None:
    """Removes what would go. A kill in its midst leaves nothing that a run would trip over: the next call goes on.

    forget: takes versions of models out of the registry.
    """
    cache = dvc_internals.cache_folder(project.root)
    with dvc_internals.locked(project.root):
        if objects := {path for path in found.going if path.is_relative_to(cache)}:
            run_cache.drop_broken(cache, objects)  # first: an entry without its objects would hide older ones
        for path in found.going:
            _remove(path)
    if found.versions:
        forget(found.versions)
        for version in found.versions:
            _remove(version.folder)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _of_cache(project: Project, cache: Path, choice: Choice, *, shared: bool) -> Iterator[Item]:
    """Objects of DVC's cache by what they are needed for; one that several need counts for the first."""
    needed, selected = needs.find(project, cache), project.places.data
    groups = [(f"results of {selected}", needed.current, False)]
    groups += [(f"results of {name}", own, choice.other_data) for name, own in sorted(needed.others.items())]
    groups.append(("results of sweeps and studies", needed.experiments, choice.experiments))
    kept: set[str] = set().union(*(own for _, own, goes in groups if not goes))
    files: dict[str, list[Path]] = {}
    rest = "earlier results that nothing needs"
    for path in cache.glob("*/*"):
        digest = path.parent.name + path.name
        title = next((title for title, own, _ in groups if digest in own), rest)
        files.setdefault(title, []).append(path)
    for title, goes in [*((title, goes) for title, _, goes in groups), (rest, True)]:
        own = files.get(title, [])
        free = [path for path in own if goes and not shared and path.parent.name + path.name not in kept]
        yield Item(f"DVC's cache: {title}", disk.used(own), tuple(path for path in free if choice.old(path)))


def _of_state(project: Project, stages: Collection[str], choice: Choice) -> Iterator[Item]:
    """What lies in .covey."""
    state, sweeps = project.state, project.state / "sweeps"
    work = list((state / "work").glob("*/*"))
    over = [path for path in work if _is_over(path, stages, choice)]
    yield Item("checkpoints and work folders of stages", disk.used(work), tuple(over))
    copies = list(sweeps.glob("copy-*"))
    yield Item("working copies of sweeps", disk.used(copies), tuple(path for path in copies if choice.old(path)))
    points = list((sweeps / "work").glob("*/*"))
    failed = tuple(path for path in points if choice.old(path, UNFINISHED_DAYS))
    yield Item("checkpoints of points that failed", disk.used(points), failed)
    versions = models.versions(project)
    superseded = tuple(one for one in versions if not one.needed and choice.old(one.folder))
    yield Item("models in MLflow's registry", disk.used(one.folder for one in versions), (), superseded)
    logs = list((state / "logs").glob("*.log"))
    gone = [path for path in logs if path.stem not in stages and choice.old(path, UNFINISHED_DAYS)]
    yield Item("logs", disk.used(logs), tuple(gone))
    tables = [path for path in (state / "atlas").rglob("*") if path.is_file()]
    yield Item("tables of covey atlas", disk.used(tables), tuple(path for path in tables if choice.old(path)))
    yield Item("downloaded data", disk.used([state / "downloads"]))
    named = {"work", "sweeps", "logs", "atlas", "downloads"}
    others = [path for path in state.glob("*") if path.name not in named]
    models_held = disk.used(one.folder for one in versions)
    yield Item("records of runs, and all else in .covey", max(0, disk.used(others) - models_held))


def _is_over(work: Path, stages: Collection[str], choice: Choice) -> bool:
    """Whether no run goes on from a work folder: its stage is complete, or is no more, or was left long ago."""
    if (work / paths.DONE).exists():
        return choice.old(work)
    return choice.old(work, UNFINISHED_DAYS) or (work.parent.name not in stages and choice.old(work))


def worth_telling(items: Iterable[Item]) -> list[Item]:
    """The items that hold anything."""
    return [item for item in items if item.held]
