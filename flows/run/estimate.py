"""What a run will take: seconds by the clock, memory and disk, by what earlier runs of its stages took."""

from __future__ import annotations

import heapq
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from flows.run import plan
from flows.run.slots import places
from tasks.estimates import earlier
from tasks.estimates.earlier import Earlier, Estimate
from tasks.process import disks, files
from tasks.process.amounts import size
from tasks.process.duration import duration
from tasks.project.project import Project
from tasks.settings import retries
from tasks.stage import costs
from tasks.staleness import code_hash, dvc_internals, run_cache
from tasks.staleness.graph import CODE_STAGE

RESTORED_SECONDS = 2.0
"""What a stage takes that comes from DVC's cache, about."""
START_SECONDS = 10.0
"""What a run takes before its first stage starts, where no earlier one tells."""
COPIES = 2
"""Copies of a trained encoder: the stage's output, and the one in MLflow's registry."""


@dataclass(frozen=True)
class Forecast:
    """What a run will take.

    Attributes:
        stages: each stage with its estimate, None where nothing is known.
        restored: those of them that come from DVC's cache.
        seconds: by the clock, without the stages of which nothing is known.
        memory: bytes that stages hold at once, at the most; None where no stage tells.
        disk: bytes that will be written. free: bytes that are free where DVC's cache and the project lie.
        places: the slots, in words.
        faults: stages -> the error at which their estimates ended; they are among those of which nothing is known.
    """

    stages: Mapping[str, Estimate | None]
    restored: frozenset[str]
    seconds: float
    memory: float | None
    disk: float | None
    free: int
    places: str
    faults: Mapping[str, str] = field(default_factory=dict)

    @property
    def unknown(self) -> list[str]:
        """The stages whose time is not known."""
        return [name for name, estimate in self.stages.items() if estimate is None]

    def __str__(self) -> str:
        """ "about 6 min on 2 cores, without 12 stages that never ran; at most 0.9 GB of memory, 310 MB of disk."."""
        unknown = len(self.unknown) - len(self.faults)
        known = len(self.stages) - len(self.unknown)
        words = f"about {_rounded(self.seconds)} on {self.places}" if known else "no earlier run tells for how long"
        if known and unknown:
            words += f", without {unknown} stage{'s' * (unknown > 1)} that never ran with these settings"
        if self.restored:
            words += f"; {len(self.restored)} come{'s' * (len(self.restored) == 1)} from the cache"
        amounts = [f"at most {size(self.memory)} of memory"] if self.memory else []
        amounts += [f"{size(self.disk)} of disk"] if self.disk else []
        words += f"; {', '.join(amounts)}." if amounts else "."
        if self.disk and self.disk > self.free:
            words += f" The disk has only {size(self.free)} free: it will not fit; `covey gc` frees what is not needed."
        for name, error in self.faults.items():
            words += f" {name} could not be estimated ({error})."
        return words


def forecast(
    project: Project,
    work: plan.Plan,
    jobs: int | None,
    *,
    code: Mapping[str, Any] | None = None,
    sizes: Mapping[str, float] | None = None,
    trials: Mapping[str, Estimate] | None = None,
) -> Forecast:
    """The forecast for a plan.

    code: what code.json will hold, by default what it holds. sizes: stage -> bytes of outputs, of those that never ran.
    trials: what trials of stages say.
    """
    held = frozenset(_restored(project, work, code_hash.read(project.root) if code is None else code))
    known, data = Earlier(earlier.of_project(project)), _facts(project, work)
    found: dict[str, Estimate | None] = {}
    faults: dict[str, str] = {}
    for name in work.names:
        if name in held or name == CODE_STAGE:
            found[name] = Estimate(RESTORED_SECONDS, None, 0.0)
            continue
        try:
            own = known.estimate(name, costs.work(project.parameters, name, data(costs.target_of(name))))
        except Exception as error:
            own, faults[name] = None, _noted(project, error)
        own = own or (trials or {}).get(name)
        bytes_of_shapes = (sizes or {}).get(name)
        if own is not None and own.disk is None:
            own = Estimate(own.seconds, own.memory, bytes_of_shapes)
        found[name] = own
    written = [_written(name, found[name], sizes or {}, work) for name in work.names]
    cpu, devices = places(project.parameters["machine"])
    seconds, memory = schedule(work, found, _weights(project, work), cpu, len(devices), jobs)
    disk = sum(each for each in written if each is not None) if any(each is not None for each in written) else None
    room = min(disks.free(place) for place in (project.root, *_caches(project)))
    faults = {name: error for name, error in faults.items() if found[name] is None}
    slots = _told(cpu, len(devices), jobs)
    return Forecast(found, held, seconds + _start(project), memory, disk, room, slots, faults)


def schedule(
    work: plan.Plan,
    estimates: Mapping[str, Estimate | None],
    priorities: Mapping[str, float],
    cpu_slots: int,
    devices: int,
    jobs: int | None,
) -> tuple[float, float | None]:
    """Seconds until the last stage ends, and bytes held at once at the most, where the slots are given out as in a run.

    Stages of which nothing is known take no time.
    """
    free = {"device": devices, "slot": cpu_slots}
    places, held, most, now = jobs or cpu_slots + devices, 0.0, 0.0, 0.0
    waiting = {name: {parent for parent in work.graph[name].parents if parent in work.names} for name in work.names}
    running: list[tuple[float, str, str, float]] = []
    while waiting or running:
        ready = sorted((name for name, parents in waiting.items() if not parents), key=lambda name: -priorities[name])
        for name in ready:
            kind = "device" if devices and name in work.on_device else "slot"
            if places and free[kind]:
                estimate = estimates[name] or Estimate(0.0)
                places, free[kind], held = places - 1, free[kind] - 1, held + (estimate.memory or 0.0)
                heapq.heappush(running, (now + estimate.seconds, name, kind, estimate.memory or 0.0))
                del waiting[name]
        most = max(most, held)
        now, name, kind, memory = heapq.heappop(running)
        places, free[kind], held = places + 1, free[kind] + 1, held - memory
        for parents in waiting.values():
            parents.discard(name)
    return now, most or None


def note_start(project: Project, seconds: float) -> None:
    """Keeps how long a run took before its first stage started."""
    files.write_json(project.state / "start.json", {"seconds": seconds})


def of_run(project: Project, work: plan.Plan, jobs: int | None, sizes: Mapping[str, float]) -> str:
    """The forecast in words, with a colon first; where it fails the error: no run may fail by its estimate."""
    try:
        return f": {forecast(project, work, jobs, sizes=sizes)}"
    except Exception as error:
        return f". What they take could not be estimated ({_noted(project, error)})."


def _noted(project: Project, error: Exception) -> str:
    """An error in words; its trace is in the log `estimate`."""
    with suppress(Exception):
        log = project.log("estimate")
        log.write_text("".join(traceback.format_exception(error)))
        return f"{type(error).__name__}: {error}; {log.relative_to(project.root)} has the trace"
    return f"{type(error).__name__}: {error}"


def _facts(project: Project, work: plan.Plan) -> Callable[[str], costs.Facts]:
    """What gives the facts of a target's data, or of the selected data set's for ""; each file is read once."""

    @cache
    def found(target: str) -> costs.Facts:
        prepared = f"prepare_target@{target}" if target else "prepare"
        return costs.facts(project, target=target, fresh=prepared in work.names)

    return found


def _restored(project: Project, work: plan.Plan, code: Mapping[str, Any]) -> Collection[str]:
    """The stages of a plan that DVC will restore from its cache."""
    cache = dvc_internals.cache_folder(project.root)
    stages = {name: stage for name, stage in work.graph.items() if name != CODE_STAGE}
    fresh = run_cache.of_lock(project.root)
    for name in work.forced:
        for path in work.graph[name].outputs:
            fresh.pop(path, None)
    wanted = [name for name in work.names if name in stages and name not in work.forced]
    return run_cache.restorable(cache, stages, wanted, project.parameters, code, fresh)


def _written(name: str, estimate: Estimate | None, sizes: Mapping[str, float], work: plan.Plan) -> float | None:
    found = sizes.get(name) if estimate is None else estimate.disk
    return None if found is None else found * (COPIES if work.graph[name].kind == "train" else 1)


def _weights(project: Project, work: plan.Plan) -> dict[str, float]:
    policies = retries.read(project.parameters)
    return plan.priorities(work, {kind: policy.weight for kind, policy in policies.items()})


def _caches(project: Project) -> Sequence[Any]:
    place = dvc_internals.cache_folder(project.root)
    return [next(folder for folder in (place, *place.parents) if folder.is_dir())]


def _start(project: Project) -> float:
    noted = files.remembered(project.state / "start.json").get("seconds", START_SECONDS)
    return float(noted) if isinstance(noted, int | float) else START_SECONDS


def _told(cpu_slots: int, devices: int, jobs: int | None) -> str:
    cores, gpus = (f"{count} {name}{'s' * (count > 1)}" for count, name in ((cpu_slots, "core"), (devices, "GPU")))
    words = f"{gpus} and {cores}" if devices else cores
    return f"{words}, {jobs} at once" if jobs and jobs < cpu_slots + devices else words


def _rounded(seconds: float) -> str:
    """As much of it as an estimate can tell."""
    return f"{seconds:.0f} s" if seconds < 59.5 else duration(round(seconds / 60) * 60).replace(" 00 s", "")
