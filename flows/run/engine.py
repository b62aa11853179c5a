"""Engines run single stages: on this machine, or on the workers of a Dask cluster (flows/dask/engine.py)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Protocol

from flows.run import records
from flows.run.jobs import Ended
from flows.run.slots import Slots, of_machine
from tasks.process import disks
from tasks.project.project import Project
from tasks.stage import costs
from tasks.staleness.dvc_errors import StageFailed
from tasks.staleness.reproduce import reproduce


class Engine(Protocol):
    """Brings single stages up to date. Its methods are thread-safe."""

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:
        """The slots for stages; at most `jobs` stages run at once. Closing the slots stops stages on other machines."""

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        """Like `tasks.staleness.reproduce.reproduce`; also records a restored stage in MLflow. Raises StageFailed."""


def _blamed(project: Project, error: StageFailed) -> StageFailed:
    """The failure, or where a disk was full, which neither DVC nor a log has much room to say, that, and final."""
    places = disks.of_project(project.root)
    if error.final or not (disks.told_in(error.tail) or disks.free(disks.fullest(places)) < disks.LEFT_OVER):
        return error
    words = f"error: {error.stage}: {disks.sentence(project.root)}"
    return StageFailed(error.stage, error.reason, words, error.log, final=True)


class Local:
    """Runs each stage in a process on this machine."""

    __slots__ = ("_project",)

    def __init__(self, project: Project) -> None:
        self._project = project

    def slots(self, machine: Mapping[str, Any], jobs: int | None) -> Slots:
        return of_machine(machine, jobs)

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        begun = time.monotonic()
        try:
            outcome = reproduce(self._project, name, timeout=timeout, environment=environment, force=force)
        except StageFailed as error:
            raise _blamed(self._project, error) from None
        if outcome == "restored":
            records.restored(self._project, name)
        elif outcome == "ran":
            costs.add_elapsed(self._project, name, time.monotonic() - begun)
        self._project.forget_work(name, only_done=True)  # a stage that has ended needs no checkpoints
        return Ended(outcome)
