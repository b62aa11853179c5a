"""A sweep: a grid of settings of params.yaml and seeds, read from sweeps/NAME.yaml and checked before anything runs.

base: {data.train: 2048, training.epochs: 4}       settings of all points, by their dotted names
grid: {clusterfit.rotation_cf.clusters: [16, 64]}  every combination of these is a point, with every seed
seeds: [0, 1, 2]
targets: [rotation-linear, rotation_cf-linear]     RUN-PROTOCOL, or RUN for its training alone
metric: {run: rotation_cf, protocol: linear}       what is drawn and searched for
search: {trials: 20, ...}                          instead of a grid: see tasks/sweeps/search.py
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tasks.project.paths import SWEEP_FILES, TRAINING
from tasks.selection.scope import with_sources
from tasks.settings import params
from tasks.settings.schema import Field, ParameterError, check_block, parse_yaml, unknown

FIELDS = {
    "base": Field("dict", False),
    "grid": Field("dict", False),
    "seeds": Field("list", True),
    "targets": Field("list", True),
    "metric": Field("dict", False),
    "search": Field("dict", False),
}
METRIC = {
    "run": Field("str", True),
    "protocol": Field("str", True),
    "metric": Field("str", False),
    "layer": Field("str", False),
}
NAMED = ("datasets", "pretrain", "clusterfit", "transfer", "targets")
"""Blocks of params.yaml to which `base` may add an entry."""
LEFT_OUT = ("sets", "suites", "orchestration", "schedules")
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
        for values in itertools.product(*self.grid.values()):
            for seed in self.seeds:
                yield dict(zip(self.grid, values, strict=True)), seed


def load(root: Path, name: str) -> Sweep:
    """The sweep of sweeps/NAME.yaml. Raises ParameterError for whatever can be known to be wrong beforehand."""
    path = root / SWEEP_FILES / f"{name}.yaml"
    return build(root, name, read_yaml(path, "sweep", known(root)))


def known(root: Path) -> list[str]:
    """The names of the sweeps there are."""
    return sorted(path.stem for path in (root / SWEEP_FILES).glob("*.yaml"))


def read_yaml(path: Path, kind: str, others: list[str]) -> dict[str, Any]:
    """A file's mapping. Raises ParameterError where there is none, naming the closest of the others."""
    if not path.exists():
        raise unknown(kind, path.stem, others, f"{path.parent.name}/")
    try:
        content = parse_yaml(path.read_text())
    except yaml.YAMLError as error:
        raise ParameterError(f"{path.parent.name}/{path.name} is not valid YAML: {error}") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path.parent.name}/{path.name} must be a mapping of settings.")
    return content


def build(root: Path, name: str, content: Mapping[str, Any], where: str = "") -> Sweep:
    """A checked sweep of a file's content. where: what errors call the place."""
    where = where or f"{SWEEP_FILES}/{name}.yaml"
    check_block(content, FIELDS, where)
    seeds, targets = _seeds(content["seeds"], where), _texts(content["targets"], f"{where}: targets")
    grid = content.get("grid") or {}
    for key, values in grid.items():
        if not isinstance(values, list) or not values:
            raise ParameterError(f"{where}: grid.{key} is {values!r}; it must be a list of at least one value.")
        if len({json.dumps(value, sort_keys=True) for value in values}) < len(values):
            raise ParameterError(f"{where}: grid.{key} has a value twice, and so a point twice: {values}.")
    if "search" in content and grid:
        raise ParameterError(f"{where}: it has both a grid and a search; give one of them.")
    if "data" in grid and (lost := [key for key in content.get("base") or {} if str(key).startswith("data.")]):
        raise ParameterError(
            f"{where}: grid.data puts a whole data set in place of base's {lost[0]}; set it per data set:"
            f" datasets.NAME.{lost[0].removeprefix('data.')}."
        )
    every = changed(params.load(root), content.get("base") or {}, f"{where}: base")
    parameters = narrowed(every, targets, where)
    _check_needed(grid, every, parameters, where)
    params.check(parameters, root)
    metric = _metric(content.get("metric"), targets, where)
    sweep = Sweep(name, parameters, grid, seeds, targets, metric, content.get("search") or {})
    if "search" in content:
        from tasks.sweeps import search  # which is made of sweeps itself

        search.check(root, sweep, where)
    for settings, seed in sweep.combinations():
        point(root, sweep, settings, seed, where)
    return sweep


def point(root: Path, sweep: Sweep, settings: Mapping[str, Any], seed: int, where: str = "") -> dict[str, Any]:
    """The checked parameters of one point. Raises ParameterError for settings that params.yaml could not hold."""
    where = where or f"{SWEEP_FILES}/{sweep.name}.yaml"
    block = "search.space" if sweep.search else "grid"
    parameters = changed(sweep.parameters, {**settings, "seed": seed}, f"{where}: {block}")
    try:
        params.check(parameters, root)
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
    return kept | {"sets": {}, "suites": {}, "runs": "all", "protocols": "all"}


def _check_needed(grid: Mapping[str, Any], every: Mapping[str, Any], needed: Mapping[str, Any], where: str) -> None:
    """Refuses settings of a run or protocol that was left out because no target needs it."""
    for key in grid:
        block, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        if block in NAMED and name in every[block] and name not in needed[block]:
            raise ParameterError(f"{where}: grid: no target needs {block}.{name}, so {key} changes nothing.")


def _data_set(parameters: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in parameters["datasets"]:
        raise unknown("data set", name, parameters["datasets"], f"{where}: data")
    return dict(parameters["datasets"][name])


def _seeds(values: list[Any], where: str) -> tuple[int, ...]:
    if not values or not all(isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 for seed in values):
        raise ParameterError(f"{where}: seeds is {values!r}; it must be a list of whole numbers from 0.")
    if len(set(values)) < len(values):
        raise ParameterError(f"{where}: seeds has a value twice, and so a point twice: {values}.")
    return tuple(values)


def _texts(values: list[Any], where: str) -> tuple[str, ...]:
    if not values or not all(isinstance(value, str) and value for value in values):
        raise ParameterError(f"{where} is {values!r}; it must be a list of at least one RUN or RUN-PROTOCOL.")
    return tuple(dict.fromkeys(values))


def _metric(content: Mapping[str, Any] | None, targets: tuple[str, ...], where: str) -> Measure | None:
    if content is None:
        return None
    check_block(content, METRIC, f"{where}: metric")
    measure = Measure(**content)
    if measure.target not in targets:
        raise unknown("target", measure.target, targets, f"{where}: metric")
    return measure
