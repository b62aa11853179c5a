"""What the blocks under `clusterfit` say: the method of a refit, and what it takes over from its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REFIT = "supervised"
"""The method of a refit that does not name one: plain cross entropy on the cluster ids (ClusterFit)."""

CLUSTERS, CLASSES, WEIGHTS = "clusters", "classes", "weights"
"""What a source hands over (`outputs`): a clustering of its features, its classifier's decisions, or its weights."""


def method_of(block: Mapping[str, Any]) -> str:
    """The method that a refit is trained with."""
    return str(block.get("method", REFIT))


def continues(block: Mapping[str, Any]) -> bool:
    """Whether a refit goes on with the weights of its source, and with the labels of the data."""
    return block.get("outputs") == WEIGHTS
