"""A data set whose reader reads by another one: `of` is checked as the block of a data set of pictures is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.settings.data_kinds import PICTURES, of_reader
from tasks.settings.readers import OF
from tasks.settings.schema import CODE, Field, ParameterError, check_block, check_module, keywords
from tasks.settings.values import picture_problem, shown

READERS = CODE / "datasets"
SHARED = ("name", "source", "kind", "recipe")
"""What a data set has once, outside of `of`."""


def settings(reader: str) -> dict[str, Field]:
    """The settings of a reader, but for those that the stage gives it (tasks/artifacts/readers.py)."""
    fields = keywords(READERS / f"{reader}.py", "load")
    return {name: field for name, field in fields.items() if name not in ("seed", "room")}


def check(block: Mapping[str, Any], where: str) -> None:
    """Raises ParameterError for a mistake inside `of`, where the reader of a data set's block takes it."""
    if OF not in settings(block["reader"]):
        return
    other, where = block[OF], f"{where}.{OF}"
    if "reader" not in other:
        raise ParameterError(f"{where}: 'reader' is missing; it names the reader of the pictures.")
    for name in SHARED:
        if name in other:
            raise ParameterError(f"{where}: '{name}' is the data set's own; it stands outside of '{OF}'.")
    reader = other["reader"]
    check_module(READERS, "reader", reader, f"{where}.reader", function="load")
    if OF in settings(reader) or of_reader(reader) != PICTURES:
        kind = "reads by another one itself" if OF in settings(reader) else f"reads {of_reader(reader)}"
        raise ParameterError(f"{where}.reader: {shown(reader)} {kind}; name a reader of pictures.")
    fields = settings(reader)
    fields.pop("source", None)
    check_block(other, {"reader": Field("str", True), **fields}, where)
    if wrong := picture_problem(other):
        raise ParameterError(f"{where}: {wrong}")
