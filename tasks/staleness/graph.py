"""The pipeline's graph: its stages as frozen nodes, their order, and which of them a change concerns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from tasks.settings.stage_kinds import Kind

CODE_STAGE = "code"


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml as DVC resolves it: what it waits for, what it reads, what it writes.

    Attributes:
        parents: the stages that write what it reads.
        paths: files and folders that it reads, relative to the project's folder.
        parameters: keys of params.yaml, and `code` keys of code.json, that it depends on.
        outputs: files and folders that it writes; `uncached` those of them that DVC does not keep.
        source: the file or folder that its data set is read from; its hash is one of `code`.
    """

    name: str
    command: str
    kind: Kind
    parents: tuple[str, ...]
    paths: tuple[str, ...]
    parameters: tuple[str, ...]
    code: tuple[str, ...]
    outputs: tuple[str, ...]
    uncached: tuple[str, ...]
    source: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Stage:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
        }
        return cls(**fields)


Graph = Mapping[str, Stage]


def parents_of(reads: Mapping[str, Iterable[str]], writes: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Stage -> the stages that write what it reads: the same path, one above it, or one below it."""
    writer: dict[str, str] = {}
    below: dict[str, set[str]] = {}
    for name, outputs in writes.items():
        for path in outputs:
            writer[path] = name
            for folder in PurePosixPath(path).parents:
                below.setdefault(str(folder), set()).add(name)
    found: dict[str, tuple[str, ...]] = {}
    for name, paths in reads.items():
        parents: set[str] = set()
        for path in paths:
            above = (str(folder) for folder in (PurePosixPath(path), *PurePosixPath(path).parents))
            parents |= {writer[folder] for folder in above if folder in writer} | below.get(path, set())
        found[name] = tuple(sorted(parents - {name}))
    return found


def ordered(parents: Mapping[str, Iterable[str]]) -> list[str]:
    """The stages, parents before children. Raises graphlib.CycleError for a circle."""
    return list(TopologicalSorter({name: tuple(own) for name, own in parents.items()}).static_order())


def with_ancestors(stages: Graph, names: Iterable[str]) -> set[str]:
    """The named stages and all that they wait for. `stages` are in topological order."""
    wanted = set(names)
    for name in reversed(list(stages)):
        if name in wanted:
            wanted.update(stages[name].parents)
    return wanted


def affected(stages: Graph, changed: Iterable[str], targets: Iterable[str] = ()) -> list[str]:
    """The stages to run, parents first: the changed ones and all that follow from them.

    `targets` restrict it to themselves and their ancestors. `stages` are in topological order.
    """
    wanted = with_ancestors(stages, targets) or set(stages)
    changed = set(changed)
    found: set[str] = set()
    for name, stage in stages.items():
        if name in changed or found.intersection(stage.parents):
            found.add(name)
    return [name for name in stages if name in found and name in wanted]


def outputs_of(stages: Graph) -> set[str]:
    """All that the stages write."""
    return {path for stage in stages.values() for path in stage.outputs}
