"""The settings of a sweep's points: a grid over params.yaml by dotted names, and seeds."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tasks.project.paths import TRAINING
from tasks.project.project import Project
from tasks.selection.scope import with_sources
from tasks.settings import params
from tasks.settings.maps import of_any_runs
from tasks.settings.schema import ParameterError, unknown
from tasks.settings.stage_kinds import SWEEP_FILES

NAMED = ("datasets", "pretrain", "clusterfit", "transfer", "targets")
"""Blocks of params.yaml to which `base` may add an entry."""
LEFT_OUT = ("sets", "suites", "kinds", "groups", "orchestration", "schedules")
BEST = "best"


@dataclass(frozen=True)
class Measure:
    """One number of a point: a run's score by a protocol; of its best layer, or the one named. "": the first metric.

    protocol "training" stands for the record of the run's training: its last loss, accuracy and so on.
    """

    run: str
    protocol: str
    metric: str = ""
    layer: str = BEST

    @property
    def target(self) -> str:
        """What must have been run."""
        return self.run if self.protocol == TRAINING else f"{self.run}-{self.protocol}"


@dataclass(frozen=True)
class Sweep:
    """What a file asks for; `parameters` are params.yaml with `base` in it, narrowed to what the targets need."""

    name: str
    parameters: Mapping[str, Any]
    grid: Mapping[str, list[Any]]
    seeds: tuple[int, ...]
    targets: tuple[str, ...]
    metric: Measure | None = None
    search: Mapping[str, Any] = field(default_factory=dict)

    def combinations(self) -> Iterator[tuple[dict[str, Any], int]]:
        """Settings and seed of every point; seeds change fastest, so that what runs side by side shares nothing."""
        for settings in self.settings():
            for seed in self.seeds:
                yield dict(settings), seed

    def settings(self) -> Iterator[dict[str, Any]]:
        """The settings of every combination of the grid."""
        for values in itertools.product(*self.grid.values()):
            yield dict(zip(self.grid, values, strict=True))


def point(project: Project, sweep: Sweep, settings: Mapping[str, Any], seed: int, where: str = "") -> dict[str, Any]:
    """The checked parameters of one point. Raises ParameterError for settings that params.yaml could not hold."""
    where = where or f"{SWEEP_FILES}/{sweep.name}.yaml"
    block = "search.space" if sweep.search else "grid"
    parameters = changed(sweep.parameters, {**settings, "seed": seed}, f"{where}: {block}")
    try:
        params.check_parameters(parameters, project.root)
    except ParameterError as error:
        raise ParameterError(f"{where}: the point {describe(settings, seed)}: {error}") from None
    return parameters


def describe(settings: Mapping[str, Any], seed: int | None = None) -> str:
    """ "clusters 64, seed 1": settings by the last parts of their names."""
    parts = [f"{short(key)} {value}" for key, value in settings.items()]
    return ", ".join(parts + ([] if seed is None else [f"seed {seed}"]))


def short(key: str) -> str:
    """The last part of a dotted name."""
    return key.rpartition(".")[2]


def changed(parameters: Mapping[str, Any], settings: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A copy of the parameters with settings by dotted names in it; `data: NAME` names one of the data sets.

    What is new must be a named block of its own (`pretrain.mine: {...}`) or a setting of one that is there.
    """
    found: dict[str, Any] = json.loads(json.dumps(parameters))  # a copy in which no two blocks are one object
    for key, value in settings.items():
        *folders, last = str(key).split(".")
        block = found
        for depth, part in enumerate(folders):
            if not isinstance(block.get(part), dict):
                raise unknown("setting", part, block, f"{where}: {'.'.join(folders[: depth + 1])}")
            block = block[part]
        if last not in block and (not folders or (len(folders) == 1 and folders[0] not in NAMED)):
            raise unknown("setting", last, block, f"{where}: {key}")
        block[last] = _data_set(found, value, where) if key == "data" and isinstance(value, str) else value
    return found


def narrowed(parameters: Mapping[str, Any], targets: tuple[str, ...], where: str) -> dict[str, Any]:
    """The parameters with the runs and protocols that the targets need, and nothing else, so that DVC is quick."""
    runs = [target.partition("-")[0] for target in targets]
    protocols = [target.partition("-")[2] for target in targets if "-" in target]
    known_runs = [*parameters["pretrain"], *parameters["clusterfit"]]
    known_protocols = [*parameters["transfer"], *parameters["targets"]]
    for names, known_names, kind in ((runs, known_runs, "run"), (protocols, known_protocols, "protocol")):
        for name in names:
            if name not in known_names:
                raise unknown(kind, name, known_names, f"{where}: targets")
    kept = {key: value for key, value in parameters.items() if key not in LEFT_OUT}
    needed = with_sources(runs, parameters["clusterfit"])
    for blocks, wanted in ((("pretrain", "clusterfit"), needed), (("transfer", "targets"), set(protocols))):
        for block in blocks:
            kept[block] = {name: content for name, content in parameters[block].items() if name in wanted}
    return kept | of_any_runs(parameters) | {"sets": {}, "suites": {}, "runs": "all", "protocols": "all"}


def _data_set(parameters: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in parameters["datasets"]:
        raise unknown("data set", name, parameters["datasets"], f"{where}: data")
    return dict(parameters["datasets"][name])
