"""A search: settings drawn from a space that is too large for a grid, by chance or by what earlier trials found.

search:                                            in a sweep's file, instead of its grid
  trials: 20                                       how many combinations of settings to try, each with every seed
  sampler: tpe                                     or random
  goal: maximize                                   or minimize: the mean of `metric` over the seeds
  space:                                           by dotted names of params.yaml
    training.learning_rate: {low: 0.0005, high: 0.02, log: true}
    clusterfit.rotation_cf.clusters: {low: 8, high: 512, log: true}    whole numbers, as both ends are
    pretrain.pirl.permutations: [10, 100, 0]       one of these

Here the block is read and checked; tasks/sweeps/trials.py proposes and keeps the trials.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.project.paths import TRAINING
from tasks.project.project import Project
from tasks.settings.schema import Field, ParameterError, check_block, unknown
from tasks.settings.values import shown
from tasks.sweeps import settings as sweep_settings
from tasks.sweeps.settings import BEST, Sweep

FIELDS = {
    "trials": Field("int", True),
    "sampler": Field("str", False),
    "goal": Field("str", False),
    "space": Field("dict", True),
}
RANGE = {"low": Field("float", True), "high": Field("float", True), "log": Field("bool", False)}
MOST_ENDS = 1000
"""Of all settings together: each is tried on params.yaml before the first trial."""
SAMPLERS = ("tpe", "random")
GOALS = ("maximize", "minimize")


@dataclass(frozen=True)
class Search:
    """The block, with its defaults. space: dotted name -> {low, high, log} or a list."""

    trials: int
    space: Mapping[str, Any]
    sampler: str = SAMPLERS[0]
    goal: str = GOALS[0]


def check_search(project: Project, sweep: Sweep, where: str) -> None:
    """Raises ParameterError for a search that cannot be run: every end of the space is tried on params.yaml."""
    check_block(sweep.search, FIELDS, f"{where}: search")
    search = Search(**sweep.search)
    for key, allowed in (("sampler", SAMPLERS), ("goal", GOALS)):
        if (given := getattr(search, key)) not in allowed:
            raise unknown(key, given, allowed, f"{where}: search.{key}")
    if not search.space:
        raise ParameterError(f"{where}: search.space is empty; it needs at least one setting to search over.")
    if (metric := sweep.metric) is None:
        raise ParameterError(f"{where}: a search needs a `metric`: what it is to {search.goal}.")
    if search.goal == GOALS[1] and metric.layer == BEST and metric.protocol != TRAINING:
        raise ParameterError(f"{where}: metric: its best layer is the highest; to minimize it, name a `layer`.")
    for key, content in search.space.items():
        _check_range(content, f"{where}: search.space.{key}")
    if (tried := sum(1 for _ in ends(search.space))) > MOST_ENDS:
        raise ParameterError(f"{where}: search.space holds {tried:,} ends and choices; the most is {MOST_ENDS:,}.")
    for settings in ends(search.space):
        sweep_settings.point(project, sweep, settings, sweep.seeds[0], where)


def _check_range(content: Any, where: str) -> None:
    if isinstance(content, list):
        if len({json.dumps(value, sort_keys=True) for value in content}) < max(2, len(content)):
            raise ParameterError(f"{where} is {shown(content)}; a list must hold at least two values, each once.")
        return
    if not isinstance(content, dict):
        raise ParameterError(f"{where} is {shown(content)}; it must be a list of values, or {{low: ..., high: ...}}.")
    check_block(content, RANGE, where)
    low, high = content["low"], content["high"]
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ParameterError(f"{where}: low is {low} and high is {high}; low must be below high.")
    if content.get("log") and low <= 0:
        raise ParameterError(f"{where}: low is {low}; with `log: true` it must be above 0.")


def ends(space: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The first end of everything, and then every other end or choice, one at a time."""
    found = {key: own if isinstance(own, list) else [own["low"], own["high"]] for key, own in space.items()}
    first = {key: own[0] for key, own in found.items()}
    yield first
    for key, own in found.items():
        for value in own[1:]:
            yield {**first, key: value}
