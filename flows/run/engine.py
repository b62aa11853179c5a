"""Engines run single stages: on this machine, or on the workers of a Dask cluster (flows/dask/engine.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flows.run import records
from flows.run.jobs import Ended
from flows.run.slots import Slots, of_machine
from tasks.project.project import Project
from tasks.staleness.reproduce import reproduce


class Engine(Protocol):
    """Brings single stages up to date. Its methods are thread-safe."""

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:
        """The slots for stages; at most `jobs` stages run at once. Closing the slots stops stages on other machines."""

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        """Like `tasks.staleness.reproduce.reproduce`; also records a restored stage in MLflow. Raises StageFailed."""


class Local:
    """Runs each stage in a process on this machine."""

    __slots__ = ("_project",)

    def __init__(self, project: Project) -> None:
        self._project = project

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:
        return of_machine(machine, jobs)

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        outcome = reproduce(self._project, name, timeout=timeout, environment=environment, force=force)
        if outcome == "restored":
            records.restored(self._project, name)
        self._project.forget_work(name, only_done=True)  # a stage that has ended needs no checkpoints
        return Ended(outcome)
