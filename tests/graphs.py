"""Stages drawn by hand, for tests of planning."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.settings.stage_kinds import Kind
from tasks.staleness.graph import Stage


def stage(name: str, kind: Kind = "train", parents: Iterable[str] = ()) -> Stage:
    """A stage that only has a place in the graph."""
    return Stage(name, "", kind, tuple(parents), (), (), (), (), ())
