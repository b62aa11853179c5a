"""Defaults of the blocks under `clusterfit`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REFIT = "supervised"
"""The method of a refit that does not name one: plain cross entropy on the cluster ids (ClusterFit)."""


def method_of(block: Mapping[str, Any]) -> str:
    """The method that a refit is trained with."""
    return str(block.get("method", REFIT))
