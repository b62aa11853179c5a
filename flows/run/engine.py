"""Where a run's stages are worked on: by this machine, or by the workers of a Dask cluster (flows/dask/engine.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from flows.run import records
from flows.run.jobs import Ended
from flows.run.slots import Slots, of_machine
from tasks.project.project import Project
from tasks.staleness.reproduce import reproduce


class Engine(Protocol):
    """What brings single stages up to date; its methods may be called from any thread."""

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:
        """The places for stages, at most `jobs` at once; closing them ends work that is elsewhere."""

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        """As `tasks.staleness.reproduce.reproduce`, with the stage's record; raises StageFailed."""


class Local:
    """This machine, a process a stage."""

    __slots__ = ("_project",)

    def __init__(self, project: Project) -> None:
        self._project = project

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:
        return of_machine(machine, jobs)

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        outcome = reproduce(self._project, name, timeout=timeout, environment=environment, force=force)
        if outcome == "restored":
            records.restored(self._project, name)
        self._project.forget_work(name, only_done=True)  # checkpoints of a stage that has ended are of no more use
        return Ended(outcome)
