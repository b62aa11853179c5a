"""The part of params.yaml that a stage's record shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.settings.encoders import encoder_of


def settings_of(stage: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A stage's own block, the data set, and the shared blocks that shape it."""
    kind, _, names = stage.partition("@")
    run, _, protocol = names.partition("-")
    shown: dict[str, Any] = {"seed": parameters["seed"], "data": parameters["data"]}
    for block in ("pretrain", "clusterfit"):
        if run in parameters[block]:
            shown[run] = parameters[block][run]
    if kind in ("pretrain", "clusterfit"):
        own = parameters[kind][run]
        shown |= {"training": parameters["training"], "encoder": encoder_of(parameters, own)}
    if protocol:
        shown[protocol] = (parameters["transfer"] | parameters["targets"])[protocol]
    if kind == "prepare_target":
        shown[run] = parameters["targets"][run]
    if kind == "atlas":
        shown["maps"] = parameters["maps"]
    return shown
