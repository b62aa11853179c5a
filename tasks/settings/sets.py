"""Checks the blocks `sets` and `suites` of params.yaml, and the lines that select one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.selection.scope import ALL, AXES, Axis, members
from tasks.settings.schema import ParameterError, unknown
from tasks.settings.values import QUOTE, shown


def check_sets(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for a set with an unknown member, and for the selection of an unknown set."""
    for axis in AXES:
        _check_axis(parameters, axis)


def _check_axis(parameters: Mapping[str, Any], axis: Axis) -> None:
    known = members(parameters, axis)
    sets = parameters.get(axis.sets)
    sets = {} if sets is None else sets
    if not isinstance(sets, Mapping) or not all(_is_names(names) for names in sets.values()):
        raise ParameterError(
            f"params.yaml: '{axis.sets}' must be a mapping of names to lists of {axis.member}s. ({QUOTE}.)"
        )
    if ALL in sets:
        raise ParameterError(f"{axis.sets}.{ALL}: the name '{ALL}' means every {axis.member}; choose another.")
    every = frozenset(known)
    for name, listed in sets.items():
        if not isinstance(name, str) or not name.isprintable():
            raise ParameterError(f"{axis.sets}: {shown(name)} cannot be the name of a set; put it in quotes.")
        for member in listed:
            if member not in every:
                raise unknown(axis.member, member, known, f"{axis.sets}.{name}")
    selection = parameters.get(axis.line, ALL)
    if not isinstance(selection, str) or (selection != ALL and selection not in sets):
        raise unknown(f"set of {axis.member}s", selection, (ALL, *sets), axis.line)


def _is_names(names: Any) -> bool:
    return isinstance(names, Iterable) and not isinstance(names, str) and all(isinstance(name, str) for name in names)
