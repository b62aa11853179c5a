"""Which runs of params.yaml are worked on: `runs: NAME` names one of `sets`, or `all`.

Every run is in the DAG, whatever is selected; a set says which of them `covey run` brings up to date and the report
shows. A run that no set names belongs to every set, so that a new block is run without further ado.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.schema import ParameterError, unknown

ALL = "all"
KINDS = ("pretrain", "clusterfit")


def chosen(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """The selected runs in the order of params.yaml, pretrainings first, with the sources of every refit."""
    refits: Mapping[str, Any] = parameters["clusterfit"]
    every = (*parameters["pretrain"], *refits)
    sets: Mapping[str, list[str]] = parameters.get("sets") or {}
    selection = parameters.get("runs", ALL)
    if selection == ALL:
        return every
    listed = {run for runs in sets.values() for run in with_sources(runs, refits)}
    wanted = with_sources(sets[selection], refits)
    return tuple(run for run in every if run in wanted or run not in listed)


def with_sources(runs: Iterable[str], refits: Mapping[str, Any]) -> set[str]:
    """The runs, and what they learn from, up to the pretrainings."""
    found = set()
    for run in runs:
        found.add(run)
        while run in refits:
            run = refits[run]["source"]
            found.add(run)
    return found


def narrowed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the selected runs only, and without the sets."""
    kept = chosen(parameters)
    blocks = {kind: {run: parameters[kind][run] for run in kept if run in parameters[kind]} for kind in KINDS}
    return {**{name: block for name, block in parameters.items() if name != "sets"}, **blocks}


def check(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for a set of runs that there are not, and for a selection that is no set."""
    known = (*parameters["pretrain"], *parameters["clusterfit"])
    sets = parameters.get("sets") or {}
    if not isinstance(sets, Mapping) or not all(_is_names(runs) for runs in sets.values()):
        raise ParameterError("params.yaml: 'sets' must be a mapping of names to lists of runs.")
    if ALL in sets:
        raise ParameterError(f"sets.{ALL}: this name stands for every run; choose another.")
    for name, runs in sets.items():
        for run in runs:
            if run not in known:
                raise unknown("run", run, known, f"sets.{name}")
    selection = parameters.get("runs", ALL)
    if selection not in (ALL, *sets):
        raise unknown("set of runs", selection, (ALL, *sets), "runs")


def _is_names(runs: Any) -> bool:
    return isinstance(runs, Iterable) and not isinstance(runs, str) and all(isinstance(run, str) for run in runs)
