"""What of params.yaml is worked on: `runs: NAME` names one of `sets`, `protocols: NAME` one of `suites`, or `all`.

Every run and protocol is in the DAG, whatever is selected; a set says which of them `covey run` brings up to date and
the report shows. One that no set names belongs to every set, so that a new block is run without further ado.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

ALL = "all"


@dataclass(frozen=True)
class Axis:
    """Something of which a part is selected. line: the setting that selects. sets: the block of named parts.

    blocks: where its members stand. member: what one is called.
    """

    line: str
    sets: str
    blocks: tuple[str, ...]
    member: str


RUNS = Axis("runs", "sets", ("pretrain", "clusterfit"), "run")
PROTOCOLS = Axis("protocols", "suites", ("transfer", "targets"), "protocol")
AXES = (RUNS, PROTOCOLS)


@dataclass(frozen=True)
class Scope:
    """The selected runs and protocols; None stands for all."""

    runs: tuple[str, ...] | None = None
    protocols: tuple[str, ...] | None = None


def scope(parameters: Mapping[str, Any]) -> Scope:
    """What is selected."""
    return Scope(chosen(parameters), chosen(parameters, PROTOCOLS))


def chosen(parameters: Mapping[str, Any], axis: Axis = RUNS) -> tuple[str, ...]:
    """The selected members in the order of params.yaml, runs with the sources of every refit."""
    every = members(parameters, axis)
    sets: Mapping[str, list[str]] = parameters.get(axis.sets) or {}
    selection = parameters.get(axis.line, ALL)
    if selection == ALL:
        return every
    refits: Mapping[str, Any] = parameters["clusterfit"] if axis is RUNS else {}
    listed = with_sources((name for names in sets.values() for name in names), refits)
    wanted = with_sources(sets[selection], refits)
    return tuple(name for name in every if name in wanted or name not in listed)


def members(parameters: Mapping[str, Any], axis: Axis) -> tuple[str, ...]:
    """Everything on an axis, in the order of params.yaml."""
    return tuple(name for block in axis.blocks for name in parameters.get(block) or {})


def with_sources(runs: Iterable[str], refits: Mapping[str, Any]) -> set[str]:
    """The runs, and what they learn from, up to the pretrainings; also of refits that have not been checked."""
    found: set[str] = set()
    for run in runs:
        source: Any = run
        while isinstance(source, str) and source not in found:
            found.add(source)
            source = refits[source].get("source") if source in refits else None
    return found


def narrowed(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with the selected runs and protocols only, and without the sets."""
    kept = {name: content for name, content in parameters.items() if name not in (axis.sets for axis in AXES)}
    for axis in AXES:
        names = chosen(parameters, axis)
        for block in axis.blocks:
            content = parameters.get(block) or {}
            kept[block] = {name: content[name] for name in names if name in content}
    return kept
