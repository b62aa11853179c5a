"""Retries and timeouts for each kind of stage. The block `orchestration` of params.yaml overrides the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tasks.settings import schema


@dataclass(frozen=True)
class Policy:
    """How stages of one kind are run.

    Attributes:
        retries: how often a failed stage is retried. A training continues from its checkpoint.
        retry_delay: seconds to wait before a retry.
        timeout: seconds after which an attempt is killed; None for no limit.
        weight: the usual duration of such a stage, relative to others. Stages with the heaviest path to the end go
            first.
    """

    retries: int = 1
    retry_delay: float = 5.0
    timeout: float | None = None
    weight: float = 1.0


HOUR = 3600.0
DEFAULTS: Mapping[str, Policy] = {
    "prepare": Policy(retries=3, retry_delay=20.0, timeout=6 * HOUR, weight=2.0),  # the network may come back
    "train": Policy(retries=2, retry_delay=10.0, timeout=72 * HOUR, weight=20.0),
    "extract": Policy(retries=2, retry_delay=5.0, timeout=6 * HOUR, weight=2.0),
    "cluster": Policy(retries=1, retry_delay=5.0, timeout=12 * HOUR, weight=2.0),
    "transfer": Policy(retries=1, retry_delay=5.0, timeout=24 * HOUR, weight=4.0),
    "atlas": Policy(retries=1, retry_delay=5.0, timeout=6 * HOUR, weight=2.0),
    "report": Policy(retries=1, retry_delay=2.0, timeout=HOUR / 2, weight=1.0),
}


def read(parameters: Mapping[str, Any]) -> dict[str, Policy]:
    """The policy of each kind, for these parameters.

    Raises:
        ParameterError: an unknown kind or setting, or an invalid value.
    """
    block = parameters.get("orchestration") or {}
    if not isinstance(block, Mapping):
        raise schema.ParameterError("params.yaml: 'orchestration' must be a mapping of kinds of stages to settings.")
    table = dict(DEFAULTS)
    fields = schema.keywords(Path(__file__), "Policy")
    for kind, changes in block.items():
        if kind not in DEFAULTS:
            raise schema.unknown("kind of stage", kind, DEFAULTS, "params.yaml: orchestration")
        schema.check_block({} if changes is None else changes, fields, f"params.yaml: orchestration.{kind}")
        table[kind] = replace(DEFAULTS[kind], **(changes or {}))
    return table
