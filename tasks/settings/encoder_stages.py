"""The stages that run an encoder, and so hold a GPU of their own where there are any."""

from __future__ import annotations

import ast

from tasks.settings.schema import CODE, constant
from tasks.settings.stage_kinds import kind_of


def runs_encoder(stage: str) -> bool:
    """Whether a stage runs an encoder: a training, an extraction, a protocol whose NEEDS say so, and every target.

    A protocol on data of its own (`transfer_target`) makes features of them first.
    """
    kind, command = kind_of(stage), stage.partition("@")[0]
    if kind != "transfer":
        return kind in ("train", "extract")
    return command.startswith("transfer_target") or "encoder" in needs(stage.rpartition("-")[2])


def needs(protocol: str) -> tuple[str, ...]:
    """What a protocol's file says under NEEDS; () where it says nothing, or not in plain words."""
    path = CODE / "protocols" / f"{protocol}.py"
    if not path.is_file():
        return ()
    try:
        return tuple(ast.literal_eval(constant(path, "NEEDS") or "()"))
    except ValueError:
        return ()
