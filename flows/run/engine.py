"""Where a run's stages are worked on: by this machine, or by the workers of a Dask cluster (flows/dask/engine.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from flows.run import plan
from flows.run.slots import Gate, of_machine
from tasks.settings.schema import ParameterError, unknown
from tasks.staleness import graph

LOCAL, DASK = "local", "dask"
SCHEDULER = "DASK_SCHEDULER_ADDRESS"


@dataclass(frozen=True)
class Ended:
    """A stage that is up to date now.

    outcome: "ran", "unchanged" or "restored". worker: the name of the one that did it; empty for this machine.
    """

    outcome: str
    worker: str = ""


class Engine(Protocol):
    """What brings single stages up to date; its methods may be called from any thread."""

    def gate(self, machine: Mapping[str, Any], jobs: int | None) -> Gate:
        """The places for stages, at most `jobs` at once; closing it ends work that is elsewhere. machine: the block."""

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        """As `pipeline.reproduce`; raises StageFailed."""


class Local:
    """This machine, a process a stage."""

    __slots__ = ("_root",)

    def __init__(self, root: Path) -> None:
        self._root = root

    def gate(self, machine: Mapping[str, Any], jobs: int | None) -> Gate:
        return of_machine(machine, jobs)

    def reproduce(self, name: str, *, timeout: float | None, environment: Mapping[str, str], force: bool) -> Ended:
        return Ended(graph.reproduce(self._root, name, timeout=timeout, environment=environment, force=force))


@contextmanager
def opened(root: Path, work: plan.Plan, name: str = LOCAL, scheduler: str | None = None) -> Iterator[Engine]:
    """An engine for one run. With Dask this imports Prefect: `server.settle` comes first.

    Raises:
        ParameterError: an engine that there is not, or a cluster that cannot be used (see `cluster.joined`).
    """
    address = check(name, scheduler)
    if address is None:
        yield Local(root)
        return
    from flows.dask import engine

    with engine.joined(root, work, address) as workers:
        yield workers


def check(name: str, scheduler: str | None) -> str | None:
    """The scheduler's address; None for the engine `local`. Raises ParameterError where the two do not fit."""
    if name not in (LOCAL, DASK):
        raise unknown("engine", name, (LOCAL, DASK), "--engine")
    if name == LOCAL:
        if scheduler:
            raise ParameterError(f"--scheduler is for Dask: say `--engine dask --scheduler {scheduler}`.")
        return None
    address = scheduler or os.environ.get(SCHEDULER)
    if not address:
        raise ParameterError(
            "--engine dask needs a scheduler: `dask scheduler` starts one and prints its address, which goes to "
            "--scheduler."
        )
    return address
