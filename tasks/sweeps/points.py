"""The points of a sweep: which stages each needs, what each stage would make (by a hash of all that goes into it), and
what is known of earlier ones.

A stage's identity is a hash of its name, the values of its declared parameters, its code, its source files and its
parents' identities. Equal identities promise equal outputs, so a point whose stages are all known is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project.project import Project
from tasks.settings.schema import ParameterError, unknown
from tasks.staleness import code_hash, declaration, pipeline
from tasks.staleness.graph import CODE_STAGE, Graph, Stage, with_ancestors
from tasks.sweeps import settings as sweep_settings
from tasks.sweeps.settings import Sweep

RECORDS = "points"


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
        return sweep_settings.describe(self.settings, self.seed)


def points(project: Project, sweep: Sweep, combinations: Iterable[tuple[Mapping[str, Any], int]] = ()) -> list[Point]:
    """The points of the grid, or of the given combinations of settings and seed.

    Raises:
        ParameterError: settings that params.yaml could not hold, or two points that would make the same.
    """
    codes: dict[str, code_hash.Fingerprints] = {}
    every = combinations or sweep.combinations()
    found = [_point(project, sweep, settings, seed, codes) for settings, seed in every]
    first: dict[str, Point] = {}
    for point in found:
        if (other := first.setdefault(point.key, point)) is not point:
            raise ParameterError(
                f"sweep {sweep.name}: '{point}' and '{other}' make the same; no target depends on what differs."
            )
    return found


def _point(
    project: Project, sweep: Sweep, settings: Mapping[str, Any], seed: int, codes: dict[str, code_hash.Fingerprints]
) -> Point:
    """codes: what is known of the code, by the settings that decide which it is."""
    parameters = sweep_settings.point(project, sweep, settings, seed)
    stages = pipeline.under(project.root, parameters)
    now = _code(project, parameters, settings, codes)
    targets = tuple(_stage(target, stages) for target in sweep.targets)
    wanted = with_ancestors(stages, targets)
    identities: dict[str, str] = {}
    for name, stage in stages.items():
        if name in wanted:
            identities[name] = _identity(project, stage, stages, parameters, now, identities)
    overrides = tuple(_differences(sweep.parameters, parameters))
    return Point(sweep.name, dict(settings), seed, identities, targets, overrides)


def _code(
    project: Project,
    parameters: Mapping[str, Any],
    settings: Mapping[str, Any],
    codes: dict[str, code_hash.Fingerprints],
) -> code_hash.Fingerprints:
    """What code.json would hold. No number shapes it, but that of processes and the settings of encoders."""
    shaping = ("machine", "encoder")
    words = {
        key: own
        for key, own in settings.items()
        if not isinstance(own, int | float) or any(part in shaping for part in key.split("."))
    }
    key = json.dumps(words, sort_keys=True)
    if key not in codes:
        codes[key] = code_hash.fingerprints(project.root, parameters)
    return codes[key]


def _stage(target: str, stages: Graph) -> str:
    """ "rotation-linear" -> "transfer@rotation-linear", "rotation" -> "pretrain@rotation"."""
    trained = ("transfer",) if "-" in target else ("pretrain", "clusterfit")
    for name in stages:
        command, _, key = name.partition("@")
        if key == target and command.startswith(trained):
            return name
    raise unknown("target", target, [name.partition("@")[2] for name in stages if "@" in name], "sweep")


def _identity(
    project: Project,
    stage: Stage,
    stages: Graph,
    parameters: Mapping[str, Any],
    now: code_hash.Fingerprints,
    known: Mapping[str, str],
) -> str:
    """What DVC would take for the stage's inputs, before the stages above it have run."""
    parents = [name for name in stage.parents if name != CODE_STAGE]
    made = {path for parent in parents for path in stages[parent].outputs}
    return _hash(
        [
            stage.name,
            {key: declaration.value(parameters, key) for key in stage.parameters},
            {key: declaration.value(now, key) for key in stage.code},
            declaration.hash_paths(project, [path for path in stage.paths if path not in made]),
            [known[parent] for parent in parents],
        ]
    )


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


def record_path(project: Project, key: str) -> Path:
    """Where a finished point's record lies."""
    return project.state / "sweeps" / RECORDS / f"{key}.json"


def record(project: Project, point: Point) -> dict[str, Any] | None:
    """What is known of a finished point: scores, stages, seconds, revision; None where it has not been run."""
    path = record_path(project, point.key)
    return dict(files.read_json(path)) if path.exists() else None


def known_stages(project: Project) -> dict[str, dict[str, float]]:
    """Identity -> {stage's name: its seconds} of every stage of a finished point."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted((project.state / "sweeps" / RECORDS).glob("*.json")):
        content = files.read_json(path)
        for name, identity in content["stages"].items():
            found[identity] = {name: float(content["spent"].get(name, 0.0))}
    return found


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
