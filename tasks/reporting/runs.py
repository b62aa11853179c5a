"""One run's records, and the part that it plays in tables and sentences: a control, or one that competes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ssl_models.protocols._common.score import Score
from tasks.settings.refits import WEIGHTS

Record = dict[str, Any]
SUPERVISED, PRETRAINED, SELF_SUPERVISED = "supervised", "pretrained", "self-supervised"
CONTROLS = ("untrained", SUPERVISED)
"""The roles of runs that others are held against, in the order of the table."""


@dataclass(frozen=True)
class Run:
    """One run's records; an empty record was not found.

    source: the run a refit learnt from. method: that by which its representation has learnt, see records.py; it decides
    role and hue.
    protocols: name -> {"scores": [Score], "seconds": ...}, or what `lacking` reads.
    """

    name: str
    source: str | None
    method: str
    seed: int | None = None
    training: Record = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    cluster: Record = field(default_factory=dict)
    protocols: dict[str, Record] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """ "untrained" (the floor), "supervised" (the ceiling), "pretrained" (elsewhere) or "self-supervised"."""
        if self.method == PRETRAINED:
            return PRETRAINED
        if self.method in ("random", "untrained") or (self.source is None and self.training.get("trained") is False):
            return "untrained"
        return SUPERVISED if self.method == SUPERVISED else SELF_SUPERVISED

    @property
    def continued(self) -> bool:
        """Whether it went on with the weights of its source, and so is no refit of a fresh network."""
        return self.cluster.get("outputs") == WEIGHTS

    @property
    def taken(self) -> bool:
        """Whether its weights are those of others, as they are."""
        return self.method == PRETRAINED and self.source is None

    @property
    def from_elsewhere(self) -> bool:
        """Whether its weights, or those that its training began with, are of no run here."""
        return self.taken or (bool(self.training.get("weights")) and not self.continued)

    @property
    def ranked(self) -> bool:
        """Whether it competes, and is no control."""
        return self.role not in CONTROLS

    def scores(self, protocol: str, metric: str | None = None) -> list[Score]:
        """This run's scores under a protocol, in the order of the file; those of one metric if it is given."""
        found: list[Score] = self.protocols.get(protocol, {}).get("scores", [])
        return [score for score in found if metric in (None, score.metric)]
