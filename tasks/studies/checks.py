"""What a study's file may not say: refused before anything runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tasks.settings.schema import Field, ParameterError, check_block, unknown
from tasks.settings.values import shown
from tasks.studies import over_encoders
from tasks.sweeps.settings import short

if TYPE_CHECKING:
    from tasks.studies.measures import Named
    from tasks.studies.study import Study

TERM = re.compile(r"\s*([+-]?)\s*(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w@.])|[A-Za-z_]\w*(?:@-?[\w.]+)?)\s*")
COMPARISON = {
    "greater": Field("str|float", True),
    "than": Field("str|float", True),
    "negligible": Field("float", False),
}


def terms(side: str | float) -> Iterator[tuple[int, str | float]]:
    """ "a@0.5 - b + 0.01" -> (1, "a@0.5"), (-1, "b"), (1, 0.01). Raises ParameterError for anything else."""
    text = str(side)
    place = 0
    if not text.strip():
        raise ParameterError("a rule's side is empty; it must be measures and numbers with + and - between them.")
    while place < len(text):
        found = TERM.match(text, place)
        if found is None or (place > 0 and not found[1]):
            raise ParameterError(f"'{side}' must be measures and numbers with + and - between them.")
        place = found.end()
        try:
            term: str | float = float(found[2])
        except ValueError:
            term = found[2]
        yield (-1 if found[1] == "-" else 1), term


def check_numbers(content: Any, where: str) -> None:
    """Published are numbers, or mappings or lists of them."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inner:
        check_numbers(value, f"{where}.{key}")
    if isinstance(content, bool) or not isinstance(content, dict | list | int | float):
        raise ParameterError(f"{where} is {shown(content)}; it must be a number.")


def check_study(study: Study, where: str) -> None:
    """Refuses measures that no target provides, places that the grid does not have, and rules that say nothing."""
    grid = {short(key): [str(value) for value in values] for key, values in study.sweep.grid.items()}
    if study.axis and study.axis not in grid:
        raise unknown("setting of the grid", study.axis, grid, f"{where}: axis")
    for name, named in study.measures.items():
        for measure in named.measures:
            if measure.target not in study.sweep.targets:
                raise unknown("target", measure.target, study.sweep.targets, f"{where}: measures.{name}")
        _check_places(study, named, grid, f"{where}: measures.{name}")
    for name in study.content.get("shown") or ():
        if name not in study.measures:
            raise unknown("measure", name, study.measures, f"{where}: shown")
    _check_floor(study, where)
    if not study.content["rules"]:
        raise ParameterError(f"{where}: without a rule there is no verdict.")
    for number, rule in enumerate(study.content["rules"], start=1):
        if over_encoders.is_over_encoders(rule):
            over_encoders.check(study, rule, f"{where}: rule {number}")
        else:
            _check_rule(study, rule, f"{where}: rule {number}", grid)
    for number, rule in enumerate(study.content.get("beside") or (), start=1):
        over_encoders.check(study, rule, f"{where}: beside {number}", judged=False)
    spread = set(over_encoders.used(study)) - set(study.content.get("shown") or ())
    for name, named in study.measures.items():
        if len(named.measures) > 1 and study.axis and study.axis not in named.at and name not in spread:
            raise ParameterError(
                f"{where}: measures.{name} is of several runs or layers; say which {study.axis} by 'at'."
            )


def _check_places(study: Study, named: Named, grid: Mapping[str, list[str]], where: str) -> None:
    """A measure stands for a point, or for one at each place of the axis."""
    for key, value in named.at.items():
        if key not in grid or str(value) not in grid[key]:
            raise ParameterError(f"{where}.at: the {study.setting} grid has no {key} {value}.")
    if left := set(grid) - set(named.at) - {study.axis}:
        raise ParameterError(f"{where} leaves {', '.join(sorted(left))} open; say which by 'at'.")


def _check_floor(study: Study, where: str) -> None:
    floor = study.content.get("floor")
    if floor is None:
        return
    if floor not in study.measures:
        raise unknown("measure", floor, study.measures, f"{where}: floor")
    if len(study.measures[floor].measures) > 1 or study.measures[floor].better != "more":
        raise ParameterError(f"{where}: floor: '{floor}' must be one number of which more is better.")


def _check_rule(study: Study, rule: Any, where: str, grid: Mapping[str, list[str]]) -> None:
    if not isinstance(rule, dict):
        raise ParameterError(f"{where} must be a mapping such as {{greater: a, than: b}}.")
    if "correlation" in rule:
        raise ParameterError(f"{where}: a correlation is judged over encoders: add 'over: encoders'.")
    check_block(rule, COMPARISON, where)
    if rule.get("negligible", 1) <= 0:
        raise ParameterError(f"{where}.negligible is {shown(rule['negligible'])}; it must be above 0.")
    used = [term for side in (rule["greater"], rule["than"]) for _, term in terms(side) if isinstance(term, str)]
    if not used:
        raise ParameterError(f"{where} names no measure.")
    for term in used:
        name, _, place = term.partition("@")
        if name not in study.measures:
            raise unknown("measure", name, study.measures, where)
        free = set(grid) - set(study.measures[name].at)
        if place and place not in grid.get(study.axis, []):
            raise ParameterError(f"{where}: the {study.setting} grid has no {study.axis or 'axis'} {place}.")
        if free - ({study.axis} if place else set()):
            raise ParameterError(f"{where}: '{name}' stands for several points; say which by 'at' or by @.")
