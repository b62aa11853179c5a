"""Groups of data sets: a name of `groups` in params.yaml stands for several, which `covey run` takes one by one.

groups: {density: [points, bars, ising, silhouettes]}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.settings.schema import ParameterError, unknown
from tasks.settings.values import is_name, shown

GROUPS = "groups"


def members(parameters: Mapping[str, Any], name: str) -> list[str]:
    """The data sets of a group, in order; [] for what is no group."""
    groups = parameters.get(GROUPS)
    found = groups.get(name) if isinstance(groups, Mapping) else None
    return [str(member) for member in found] if isinstance(found, list) else []


def check_groups(parameters: Mapping[str, Any]) -> None:
    """Raises ParameterError for groups that are no lists of data sets, or have the name of one."""
    groups, datasets = parameters.get(GROUPS, {}), parameters["datasets"]
    if not isinstance(groups, Mapping):
        raise ParameterError(f"params.yaml: '{GROUPS}' must be a mapping of names to lists of data sets.")
    for name, listed in groups.items():
        where = f"{GROUPS}.{name}" if is_name(name) else f"{GROUPS}: {shown(name)}"
        if not is_name(name) or not isinstance(listed, list) or not listed:
            raise ParameterError(f"{where} must be a name, with a list of at least one data set.")
        if name in datasets:
            raise ParameterError(f"{where}: a data set has this name; choose another.")
        for number, member in enumerate(listed):
            if member not in datasets:
                raise unknown("data set", member, datasets, where)
            if member in listed[:number]:
                raise ParameterError(f"{where}: {shown(member)} stands in it twice.")
