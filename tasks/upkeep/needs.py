"""Which objects of DVC's cache are needed, and what for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.process.git import GitError, git
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings import data_kinds
from tasks.staleness import code_hash, dvc_cache, pipeline, run_cache
from tasks.staleness.run_cache import Entry

SHARED = "targets"
"""The folder in data/ of the data sets of targets, which belong to no selection."""


@dataclass
class Needs:
    """Hashes of objects that are needed: by the selected data set, by others, by experiments of sweeps and studies."""

    current: set[str] = field(default_factory=set)
    others: dict[str, set[str]] = field(default_factory=dict)
    experiments: set[str] = field(default_factory=set)

    def add(self, data: str, selected: str, digests: Iterable[str]) -> None:
        """Adds what belongs to a data set; "" for what belongs to none."""
        own = self.current if data in ("", selected) else self.others.setdefault(data, set())
        own.update(digests)


def find(project: Project, cache: Path) -> Needs:
    """What is needed.

    By the selected data set: what dvc.lock lists, as it is and as it is committed, and what `covey run` would restore.
    By another: what dvc.lock lists of it, what `covey run --data NAME` would restore with the settings of now, and of
    each stage what it last wrote. By experiments: what their dvc.lock lists.
    """
    needs, selected = Needs(), project.places.data
    committed = ""
    with suppress(GitError):
        committed = git(project.root, "show", f"HEAD:./{paths.LOCK}")
    for listed in (run_cache.of_lock(project.root), run_cache.in_lock(committed)):
        for path, digest in listed.items():
            needs.add(_data_of(path), selected, [digest])
    entries = list(run_cache.entries(cache))
    for name in {_data_of(path) for entry in entries for path in entry.outputs} - {""}:
        needs.add(name, selected, _restorable(project, cache, name))
    for entry in _newest(entries):
        data = _data_of(next(iter(entry.outputs), ""))
        if data != selected:
            needs.add(data, selected, entry.outputs.values())
    needs.experiments.update(_of_experiments(project))
    for digests in (needs.current, *needs.others.values(), needs.experiments):
        digests.update([member for each in digests for member in dvc_cache.members(cache, each).values()])
    return needs


def _data_of(path: str) -> str:
    """The data set that an output belongs to, by its path; "" for none."""
    first, _, rest = path.partition("/")
    name = rest.partition("/")[0]
    return "" if not rest or first == "results" or name == SHARED else name


def _restorable(project: Project, cache: Path, data: str) -> Iterator[str]:
    """What `covey run --data DATA --all --protocols all` would restore; nothing for a data set that is no more."""
    block = project.parameters.get("datasets", {}).get(data)
    if data == project.places.data:
        block = project.parameters["data"]
    if block is None:
        return
    with suppress(Exception):  # settings of another kind, or files of it, may be broken: what it last wrote is kept
        found = data_kinds.with_kind(project.parameters, data_kinds.of_block(block), "params.yaml")
        parameters: dict[str, Any] = {**found, "data": block}
        stages = pipeline.under(project.root, parameters)
        code = code_hash.fingerprints(project.root, parameters)
        for outputs in run_cache.restorable(cache, stages, list(stages), parameters, code, {}).values():
            yield from outputs.values()


def _newest(entries: Iterable[Entry]) -> list[Entry]:
    """Of each command and data set the newest entry."""
    found: dict[tuple[str, str], Entry] = {}
    for entry in sorted(entries, key=lambda entry: entry.when):
        found[entry.command, _data_of(next(iter(entry.outputs), ""))] = entry
    return list(found.values())


def _of_experiments(project: Project) -> Iterator[str]:
    """Hashes in the dvc.lock of every experiment."""
    with suppress(GitError):
        for ref in git(project.root, "for-each-ref", "--format=%(refname)", "refs/exps").split():
            with suppress(GitError):
                yield from run_cache.in_lock(git(project.root, "show", f"{ref}:./{paths.LOCK}")).values()
