"""The points of a sweep: which stages each needs, what each stage would make (by a hash of all that goes into it), and
what is known of earlier ones.

A stage's identity is a hash of its name, the values of its declared parameters, its code, its source files and its
parents' identities. Equal identities promise equal outputs, so a point whose stages are all known is done.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tasks.project import paths
from tasks.settings.schema import ParameterError, unknown
from tasks.staleness import code_hash
from tasks.staleness import declaration as declared
from tasks.staleness import graph as pipeline
from tasks.sweeps import sweep as sweeps
from tasks.sweeps.sweep import Sweep

RECORDS = "points"
SCRATCH = ("dvc.yaml", paths.CODE)


@dataclass(frozen=True)
class Point:
    """One combination of settings and a seed. stages: name -> identity, parents first; targets: the stages asked for.

    overrides: what differs from the sweep's own parameters, as `dvc exp run --set-param` takes it.
    """

    sweep: str
    settings: Mapping[str, Any]
    seed: int
    stages: Mapping[str, str]
    targets: tuple[str, ...]
    overrides: tuple[str, ...]

    @property
    def key(self) -> str:
        """A hash of what its targets would make."""
        return _hash([self.stages[name] for name in self.targets])[:16]

    @property
    def name(self) -> str:
        """The experiment's name."""
        return f"{self.sweep}-{self.key[:10]}"

    def __str__(self) -> str:
        return sweeps.describe(self.settings, self.seed)


@dataclass(frozen=True)
class Node:
    """A stage of the resolved pipeline: what it waits for and what it declares."""

    parents: tuple[str, ...]
    declaration: declared.Declared


def points(root: Path, sweep: Sweep, combinations: Iterable[tuple[Mapping[str, Any], int]] = ()) -> list[Point]:
    """The points of the grid, or of the given combinations of settings and seed.

    Raises:
        ParameterError: settings that params.yaml could not hold, or two points that would make the same.
    """
    now = code_hash.fingerprints(root, sweep.parameters["targets"])
    found = [_point(root, sweep, settings, seed, now) for settings, seed in combinations or sweep.combinations()]
    first: dict[str, Point] = {}
    for point in found:
        if (other := first.setdefault(point.key, point)) is not point:
            raise ParameterError(
                f"sweep {sweep.name}: '{point}' and '{other}' make the same; no target depends on what differs."
            )
    return found


def _point(root: Path, sweep: Sweep, settings: Mapping[str, Any], seed: int, now: code_hash.Fingerprints) -> Point:
    parameters = sweeps.point(root, sweep, settings, seed)
    graph = _graph(root, json.dumps(_shape(parameters), sort_keys=True))
    targets = tuple(_stage(target, graph) for target in sweep.targets)
    identities: dict[str, str] = {}
    wanted = set(targets)
    for name in reversed(graph):
        if name in wanted:
            wanted.update(graph[name].parents)
    for name, node in graph.items():
        if name in wanted:
            identities[name] = _identity(root, name, node, parameters, now, identities, graph)
    overrides = tuple(_differences(sweep.parameters, parameters))
    return Point(sweep.name, dict(settings), seed, identities, targets, overrides)


def _stage(target: str, graph: Mapping[str, Node]) -> str:
    """ "rotation-linear" -> "transfer@rotation-linear", "rotation" -> "pretrain@rotation"."""
    trained = ("transfer",) if "-" in target else ("pretrain", "clusterfit")
    for name in graph:
        command, _, key = name.partition("@")
        if key == target and command.startswith(trained):
            return name
    raise unknown("target", target, [name.partition("@")[2] for name in graph if "@" in name], "sweep")


def _identity(
    root: Path,
    name: str,
    node: Node,
    parameters: Mapping[str, Any],
    now: code_hash.Fingerprints,
    known: Mapping[str, str],
    graph: Mapping[str, Node],
) -> str:
    made = {path for parent in node.parents for path in graph[parent].declaration.outputs}
    sources = {path: _of_source(root / path) for path in node.declaration.paths if path not in made}
    return _hash(
        [
            name,
            {key: declared.value(parameters, key) for key in node.declaration.parameters},
            {key: declared.value(now, key) for key in node.declaration.code},
            sources,
            [known[parent] for parent in node.parents],
        ]
    )


def _shape(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with what dvc.yaml looks at, and no other value: points of one shape have one graph."""
    kept = {"data": _picked(parameters["data"], "name", "source", "reader"), "encoder": parameters["encoder"]["name"]}
    kept["pretrain"] = {name: _picked(block, "method") for name, block in parameters["pretrain"].items()}
    kept["clusterfit"] = {name: _picked(block, "source") for name, block in parameters["clusterfit"].items()}
    kept["transfer"] = {name: {} for name in parameters["transfer"]}
    kept["targets"] = {
        name: {"data": _picked(block["data"], "source", "reader"), "protocol": block["protocol"]}
        for name, block in parameters["targets"].items()
    }
    return kept


def _picked(block: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: block[name] for name in names}


@cache
def _graph(root: Path, shape: str) -> dict[str, Node]:
    """DVC's own reading of dvc.yaml for parameters of a shape, in a folder where nothing else is; without `code`."""
    content = json.loads(shape)
    content["encoder"] = {"name": content["encoder"]}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        (place / ".dvc").mkdir()
        (place / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
        shutil.copy(root / "dvc.yaml", place / "dvc.yaml")
        (place / "params.yaml").write_text(yaml.safe_dump(content))
        stages = pipeline.resolved(place)
    return {
        name: Node(tuple(parent for parent in parents if parent != pipeline.CODE_STAGE), declaration)
        for name, (parents, declaration) in stages.items()
        if name != pipeline.CODE_STAGE
    }


def _of_source(path: Path) -> str:
    """A file's hash; of a folder, of its names, sizes and times: hashing a million images again would take minutes."""
    if not path.is_dir():
        return declared.hash_path(path)
    members = sorted(member for member in path.rglob("*") if member.is_file())
    return _hash([[str(m.relative_to(path)), m.stat().st_size, m.stat().st_mtime_ns] for m in members])


def _differences(before: Any, after: Any, prefix: str = "") -> list[str]:
    """ "training.epochs=4" for what has another value, "++a=1" for what is new, "~a" for what is gone."""
    found = []
    for key in before.keys() | after.keys():
        name = f"{prefix}{key}"
        if key not in after:
            found.append(f"~{name}")
        elif key not in before:
            found.append(f"++{name}={_text(after[key])}")
        elif isinstance(before[key], dict) and isinstance(after[key], dict):
            found += _differences(before[key], after[key], f"{name}.")
        elif before[key] != after[key]:
            found.append(f"{name}={_text(after[key])}")
    return sorted(found)


def _text(value: Any) -> str:
    """A value in the grammar of Hydra's overrides, which is JSON but for the quotes around keys."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_text(content)}" for key, content in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    return json.dumps(value)


def record_path(root: Path, key: str) -> Path:
    """Where a finished point's record lies."""
    return paths.covey_folder(root) / "sweeps" / RECORDS / f"{key}.json"


def record(root: Path, point: Point) -> dict[str, Any] | None:
    """What is known of a finished point: scores, stages, seconds, revision; None where it has not been run."""
    path = record_path(root, point.key)
    return dict(paths.read_json(path)) if path.exists() else None


def known_stages(root: Path) -> dict[str, dict[str, float]]:
    """Identity -> {stage's name: its seconds} of every stage of a finished point."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted((paths.covey_folder(root) / "sweeps" / RECORDS).glob("*.json")):
        content = paths.read_json(path)
        for name, identity in content["stages"].items():
            found[identity] = {name: float(content["spent"].get(name, 0.0))}
    return found


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
