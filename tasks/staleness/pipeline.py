"""The stages of dvc.yaml with this params.yaml, as DVC resolves them; remembered until one of the two changes."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml

from tasks.process import files
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.stage_kinds import kind_of
from tasks.staleness import dvc_errors, dvc_internals
from tasks.staleness.graph import CODE_STAGE, Stage, ordered, parents_of

FORMAT = 2
"""Raise it when what is remembered of a stage changes."""


def graph(project: Project) -> dict[str, Stage]:
    """Every stage of dvc.yaml, parents before children.

    Raises:
        ParameterError: dvc.yaml cannot be resolved with this params.yaml; PipelineError: DVC cannot work here.
    """
    memory = project.state / "graph.json"
    key = _key(project.root)
    if (content := files.remembered(memory)).get("key") == key:
        with suppress(KeyError, TypeError, ValueError, AttributeError):  # not what was written below
            return {stage["name"]: Stage.from_json(stage) for stage in content["stages"]}
    found = resolved(project.root)
    files.write_json(memory, {"key": key, "stages": [stage.to_json() for stage in found.values()]})
    return found


def stage(root: Path, name: str) -> Stage:
    """One stage as dvc.yaml and params.yaml have it now; its parents are not looked for.

    Raises:
        KeyError: there is no such stage.
    """
    texts = [(root / file).read_text() for file in (paths.PIPELINE, paths.PARAMETERS)]
    return _one(root, name, *texts)


def resolved(root: Path) -> dict[str, Stage]:
    """Every stage of the dvc.yaml in `root`, parents before children."""
    entries = dvc_errors.readable(lambda: dvc_internals.resolve(root))
    found = {name: _stage(name, entry) for name, entry in entries.items()}
    parents = parents_of(
        {name: one.paths + ((paths.CODE,) if one.code else ()) for name, one in found.items()},
        {name: one.outputs for name, one in found.items()},
    )
    return {
        name: Stage(**{**vars(found[name]), "parents": parents[name]}) for name in ordered(parents) if name in found
    }


def under(root: Path, parameters: Mapping[str, Any]) -> dict[str, Stage]:
    """Every stage but `code` as it would be with these parameters in params.yaml, parents before children."""
    return _under(root, json.dumps(_shape(parameters), sort_keys=True), (root / paths.PIPELINE).read_text())


def _shape(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with what dvc.yaml looks at, and no other value: points of one shape have one graph."""
    return {
        "data": {name: parameters["data"][name] for name in ("name", "source")},
        "pretrain": {name: {} for name in parameters["pretrain"]},
        "clusterfit": {name: {"source": block["source"]} for name, block in parameters["clusterfit"].items()},
        "transfer": {name: {} for name in parameters["transfer"]},
        "targets": {
            name: {"data": {key: block["data"][key] for key in ("name", "source")}}
            for name, block in parameters["targets"].items()
        },
    }


@cache
def _under(root: Path, shape: str, _pipeline: str) -> dict[str, Stage]:
    """DVC's own reading of dvc.yaml for parameters of a shape, in a folder where nothing else is.

    _pipeline: its text, part of the key."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        (place / ".dvc").mkdir()
        (place / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        shutil.copy(root / paths.PIPELINE, place / paths.PIPELINE)
        (place / paths.PARAMETERS).write_text(yaml.safe_dump(json.loads(shape)))
        found = resolved(place)
    return {name: stage for name, stage in found.items() if name != CODE_STAGE}


@lru_cache(maxsize=64)
def _one(root: Path, name: str, _pipeline: str, _parameters: str) -> Stage:
    """The texts are part of the key: with other texts it is another stage."""
    return _stage(name, dvc_internals.resolve(root, [name])[name])


def _stage(name: str, entry: Mapping[str, Any]) -> Stage:
    """A stage from its entry of dvc.yaml, in which DVC has filled in all parameters; without its parents."""
    parameters: list[str] = []
    code: list[str] = []
    for item in entry.get("params", ()):
        if isinstance(item, str):
            parameters.append(item)
            continue
        for file, keys in item.items():
            (code if file == paths.CODE else parameters).extend(keys or ())
    outputs: list[str] = []
    uncached: list[str] = []
    for block in ("outs", "metrics", "plots"):
        for path, settings in _listed(entry.get(block, ())):
            outputs.append(path)
            if settings.get("cache") is False:
                uncached.append(path)
    return Stage(
        name,
        str(entry.get("cmd", "")),
        kind_of(name),
        (),
        tuple(sorted(path for path, _ in _listed(entry.get("deps", ())))),
        tuple(sorted(parameters)),
        tuple(sorted(code)),
        tuple(outputs),
        tuple(uncached),
        str((entry.get("meta") or {}).get("source", "")),
    )


def _listed(items: Iterable[Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """dvc.yaml lists a path alone, or as the only key of its settings."""
    return [(item, {}) if isinstance(item, str) else next(iter(item.items())) for item in items]


def _key(root: Path) -> str:
    digest = hashlib.sha256(f"{FORMAT} {dvc_internals.version()}".encode())
    for name in (paths.PIPELINE, paths.PARAMETERS):
        digest.update((root / name).read_bytes() + b"\0")
    return digest.hexdigest()
