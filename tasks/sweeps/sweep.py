"""A sweep: a grid of settings of params.yaml and seeds, read from sweeps/NAME.yaml and checked before anything runs.

kind: speech                                        of data (default: the one that is worked on)
base: {data.train: 2048, training.epochs: 4}       settings of all points, by their dotted names
grid: {clusterfit.rotation_cf.clusters: [16, 64]}  every combination of these is a point, with every seed
seeds: [0, 1, 2]
targets: [rotation-linear, rotation_cf-linear]     RUN-PROTOCOL, or RUN for its training alone
metric: {run: rotation_cf, protocol: linear}       what is drawn and searched for
search: {trials: 20, ...}                          instead of a grid: see tasks/sweeps/search.py
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tasks.project.project import Project
from tasks.settings import params, yaml_files
from tasks.settings.data_kinds import with_kind
from tasks.settings.schema import Field, ParameterError, check_block, unknown
from tasks.settings.stage_kinds import SWEEP_FILES
from tasks.settings.values import SEED, problem, shown
from tasks.sweeps import search
from tasks.sweeps.settings import NAMED, Measure, Sweep, changed, narrowed, point

MOST_POINTS = 10_000
"""Each is an experiment of seconds at least, and is checked before the first starts."""
FIELDS = {
    "kind": Field("str", False),
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


def load(project: Project, name: str) -> Sweep:
    """The sweep of sweeps/NAME.yaml. Raises ParameterError for whatever can be known to be wrong beforehand."""
    return build(project, name, read(project, SWEEP_FILES, name, "sweep"))


def known(project: Project) -> list[str]:
    """The names of the sweeps there are."""
    return sorted(path.stem for path in (project.root / SWEEP_FILES).glob("*.yaml"))


def read(project: Project, folder: str, name: str, kind: str) -> dict[str, Any]:
    """The mapping of FOLDER/NAME.yaml. Raises ParameterError where there is none, naming the closest of the others."""
    others = sorted(path.stem for path in (project.root / folder).glob("*.yaml"))
    if name not in others:
        raise unknown(kind, name, others, f"{folder}/")
    try:
        content = yaml_files.read(project.root / folder / f"{name}.yaml", f"{folder}/{name}.yaml")
    except FileNotFoundError:
        raise unknown(kind, name, others, f"{folder}/") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{folder}/{name}.yaml must be a mapping of settings.")
    return content


def build(project: Project, name: str, content: Mapping[str, Any], where: str = "") -> Sweep:
    """A checked sweep of a file's content. where: what errors call the place."""
    where = where or f"{SWEEP_FILES}/{name}.yaml"
    every = settled(project, content, where)
    seeds, targets = _seeds(content["seeds"], where), _texts(content["targets"], f"{where}: targets")
    grid = content.get("grid") or {}
    _check_grid(grid, len(seeds), where)
    if "search" in content and grid:
        raise ParameterError(f"{where}: it has both a grid and a search; give one of them.")
    parameters = narrowed(every, targets, where)
    _check_needed(grid, every, parameters, where)
    try:
        params.check_parameters(parameters, project.root)
    except ParameterError as error:
        raise ParameterError(f"{where}: base: {error}") from None
    metric = _metric(content.get("metric"), targets, where)
    sweep = Sweep(name, parameters, grid, seeds, targets, metric, content.get("search") or {})
    if "search" in content:
        search.check_search(project, sweep, where)
    for settings in sweep.settings():
        point(project, sweep, settings, seeds[0], where)
    return sweep


def settled(project: Project, content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The parameters of a sweep's kind with its `base` in them, and with every run and protocol."""
    check_block(content, FIELDS, where)
    base = content.get("base") or {}
    if "data" in (content.get("grid") or {}) and (lost := [key for key in base if str(key).startswith("data.")]):
        raise ParameterError(
            f"{where}: grid.data puts a whole data set in place of base's {lost[0]}; set it per data set:"
            f" datasets.NAME.{lost[0].removeprefix('data.')}."
        )
    parameters = project.parameters
    if "kind" in content:
        parameters = with_kind(parameters, content["kind"], f"{where}: kind")
    every = changed(parameters, base, f"{where}: base")
    _check_base(every, where)
    return every


def _check_grid(grid: Mapping[str, Any], seeds: int, where: str) -> None:
    points = seeds
    for key, values in grid.items():
        if not isinstance(key, str) or not isinstance(values, list) or not values:
            raise ParameterError(f"{where}: grid.{key} is {shown(values)}; it must be a list of at least one value.")
        if key == "seed":
            raise ParameterError(f"{where}: grid.seed: the list of seeds stands beside the grid, as `seeds`.")
        if len({json.dumps(value, sort_keys=True) for value in values}) < len(values):
            raise ParameterError(f"{where}: grid.{key} has a value twice, and so a point twice: {shown(values)}.")
        points *= len(values)
    if points > MOST_POINTS:
        raise ParameterError(
            f"{where}: the grid and the seeds make {points:,} points, and the most is {MOST_POINTS:,}: take fewer "
            "values, or a `search`, which tries some of them."
        )


def _check_base(parameters: Mapping[str, Any], where: str) -> None:
    """Before the blocks are looked into for what the targets need."""
    try:
        params.check_blocks(parameters)
    except ParameterError as error:
        raise ParameterError(f"{where}: base: {error}") from None


def _check_needed(grid: Mapping[str, Any], every: Mapping[str, Any], needed: Mapping[str, Any], where: str) -> None:
    """Refuses settings of a run or protocol that was left out because no target needs it."""
    for key in grid:
        block, _, rest = key.partition(".")
        name = rest.partition(".")[0]
        if block in NAMED and name in every[block] and name not in needed[block]:
            raise ParameterError(f"{where}: grid: no target needs {block}.{name}, so {key} changes nothing.")


def _seeds(values: list[Any], where: str) -> tuple[int, ...]:
    if not values or any(problem("seed", seed, "int") for seed in values):
        raise ParameterError(
            f"{where}: seeds is {shown(values)}; it must be a list of whole numbers from 0 to {SEED[1]:,}."
        )
    if len(set(values)) < len(values):
        raise ParameterError(f"{where}: seeds has a value twice, and so a point twice: {shown(values)}.")
    return tuple(values)


def _texts(values: list[Any], where: str) -> tuple[str, ...]:
    if not values or not all(isinstance(value, str) and value for value in values):
        raise ParameterError(f"{where} is {shown(values)}; it must be a list of at least one RUN or RUN-PROTOCOL.")
    return tuple(dict.fromkeys(values))


def _metric(content: Mapping[str, Any] | None, targets: tuple[str, ...], where: str) -> Measure | None:
    if content is None:
        return None
    check_block(content, METRIC, f"{where}: metric")
    measure = Measure(**content)
    if measure.target not in targets:
        raise unknown("target", measure.target, targets, f"{where}: metric")
    return measure
