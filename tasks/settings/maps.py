"""The block `maps` of params.yaml: which runs have a map of their features, and of how many samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.selection import scope
from tasks.settings.schema import Field, ParameterError, check_block, unknown
from tasks.settings.values import shown

WINNER, ALL = "winner", "all"
MAPS = {
    "runs": Field("str | list", True),
    **dict.fromkeys(("samples", "neighbours", "clusters"), Field("int", True)),
}
"""runs: `winner`, the run that ranks first; `all`; or a list of runs. samples: the most on a map, drawn with the seed.
neighbours: of each sample. clusters: the groups that samples are divided into."""
SMALLEST = 20
"""Samples of a map: t-SNE needs so many."""
MOST_NEIGHBOURS = 50


def check_maps(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for settings that no map can be made with, and for runs that are not there.

    A run may be listed that is not selected, or is of another kind of data: it has no map then, and the page says so.
    """
    block = parameters["maps"]
    check_block(block, MAPS, "maps")
    if block["samples"] < SMALLEST:
        raise ParameterError(f"maps.samples is {block['samples']}; it must be at least {SMALLEST}.")
    if block["neighbours"] > MOST_NEIGHBOURS:
        raise ParameterError(f"maps.neighbours is {block['neighbours']}; it must be at most {MOST_NEIGHBOURS}.")
    if isinstance(block["runs"], str):
        if block["runs"] not in (WINNER, ALL):
            raise ParameterError(
                f"maps.runs is {shown(block['runs'])}; it must be {WINNER}, {ALL}, or a list of runs such as "
                f"[{next(iter(parameters['pretrain']), 'rotation')}]."
            )
        return
    if not block["runs"]:
        raise ParameterError(f"maps.runs is an empty list; name a run, or write {WINNER} or {ALL}.")
    every = _of_every_kind(parameters)
    for run in block["runs"]:
        if run not in every:
            raise unknown("run", run, every, "maps.runs")


def _of_every_kind(parameters: Mapping[str, Any]) -> list[str]:
    """The runs of params.yaml, those of other kinds of data last."""
    blocks = [parameters, *(parameters.get("kinds") or {}).values()]
    return list(dict.fromkeys(run for block in blocks for run in scope.members(block, scope.RUNS)))


def of_any_runs(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The block, under its name, as it suits other runs than those that it may list; empty where there is none."""
    return {"maps": {**parameters["maps"], "runs": WINNER}} if "maps" in parameters else {}


def asked(parameters: Mapping[str, Any]) -> list[str] | None:
    """The runs to be mapped in the order of the parameters, then those listed that are not selected.

    None where the ranking decides (`winner`).
    """
    runs, selected = parameters["maps"]["runs"], scope.chosen(parameters)
    if runs == WINNER:
        return None
    if runs == ALL:
        return list(selected)
    return [run for run in selected if run in runs] + [run for run in runs if run not in selected]
