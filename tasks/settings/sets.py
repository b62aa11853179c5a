"""Checks the blocks `sets` and `suites` of params.yaml, and the lines that select one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.selection.scope import ALL, AXES, Axis, members
from tasks.settings.schema import ParameterError, unknown


def check_sets(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for a set with an unknown member, and for the selection of an unknown set."""
    for axis in AXES:
        _check_axis(parameters, axis)


def _check_axis(parameters: Mapping[str, Any], axis: Axis) -> None:
    known = members(parameters, axis)
    sets = parameters.get(axis.sets) or {}
    if not isinstance(sets, Mapping) or not all(_is_names(names) for names in sets.values()):
        raise ParameterError(f"params.yaml: '{axis.sets}' must be a mapping of names to lists of {axis.member}s.")
    if ALL in sets:
        raise ParameterError(f"{axis.sets}.{ALL}: the name '{ALL}' means every {axis.member}; choose another.")
    for name, listed in sets.items():
        for member in listed:
            if member not in known:
                raise unknown(axis.member, member, known, f"{axis.sets}.{name}")
    selection = parameters.get(axis.line, ALL)
    if selection not in (ALL, *sets):
        raise unknown(f"set of {axis.member}s", selection, (ALL, *sets), axis.line)


def _is_names(names: Any) -> bool:
    return isinstance(names, Iterable) and not isinstance(names, str) and all(isinstance(name, str) for name in names)
