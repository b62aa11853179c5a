"""Recipes: what of the methods' settings suits a data set, in its block under `recipe`.

    world: {reader: world, ..., recipe: {hue: 0.5, invert: 0.5}}

The defaults of methods are for photographs. Each training takes of the recipe what its method has as a setting, where
the run's own block does not say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.settings.refits import method_of
from tasks.settings.schema import CODE, Field, ParameterError, keywords, modules, offered, unknown
from tasks.settings.values import problem

RECIPE = "recipe"


def method_fields(method: str) -> dict[str, Field]:
    """The keyword settings of the constructor of ssl_models/methods/<method>.py."""
    path = CODE / "methods" / f"{method}.py"
    return keywords(path, offered(path, "METHOD"))


def taken(parameters: Mapping[str, Any], method: str, block: Mapping[str, Any]) -> dict[str, Any]:
    """What the training of a run with this block takes of the recipe of the selected data set."""
    data = parameters.get("data")
    recipe = data.get(RECIPE) if isinstance(data, Mapping) else None
    if not isinstance(recipe, Mapping) or not (CODE / "methods" / f"{method}.py").is_file():
        return {}
    fields = method_fields(method)
    return {name: value for name, value in recipe.items() if name in fields and name not in block}


def of_runs(parameters: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Run -> what its training takes of the recipe; a block that params.yaml cannot hold is passed over."""
    found = {}
    for word in ("pretrain", "clusterfit"):
        runs = parameters.get(word)
        for run, block in runs.items() if isinstance(runs, Mapping) else ():
            if isinstance(block, Mapping):
                method = str(block.get("method", "")) if word == "pretrain" else method_of(block)
                found[run] = taken(parameters, method, block)
    return found


def check(recipe: Mapping[str, Any], where: str) -> None:
    """Raises ParameterError for what no method takes."""
    every = [method_fields(method) for method in modules(CODE / "methods", "METHOD = ")]
    for name, value in recipe.items():
        fields = [known[name] for known in every if name in known]
        if not fields:
            raise unknown("setting", name, {name for known in every for name in known}, where)
        if not any(field.accepts(value) for field in fields):
            raise ParameterError(f"{where}.{name}{problem(name, value, fields[0].annotation)}")
