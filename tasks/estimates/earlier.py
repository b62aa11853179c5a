"""What stages will cost, by what earlier runs of them cost: `covey run` and `covey sweep` estimate by the same rule.

A stage is estimated by its own earlier runs; where it has none, by stages of the same kind with the same method,
protocol or reader, on the same kind of samples and with the same encoder. Times are scaled to the amount of work:

    seconds = fixed + seconds of work * amount now / amount then

where `fixed` is what does not grow with the data (start, records), and of a training also all but its steps.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project.project import Project
from tasks.settings.stage_kinds import kind_of
from tasks.stage.costs import Work

PLAIN = Work()
TRAINED, RATE = "training_seconds", "samples_per_second"


@dataclass(frozen=True)
class Cost:
    """What a run of a stage cost: seconds that do not grow with its work, and those that do; bytes, or None."""

    stage: str
    fixed: float
    working: float
    of: Work = PLAIN
    memory: float | None = None
    disk: float | None = None


@dataclass(frozen=True)
class Estimate:
    """Seconds, bytes of memory at the most, bytes of outputs; None for what is not known."""

    seconds: float
    memory: float | None = None
    disk: float | None = None


class Earlier:
    """The costs of earlier runs."""

    def __init__(self, costs: Iterable[Cost]) -> None:
        self._by_stage: dict[str, list[Cost]] = {}
        self._by_word: dict[str, list[Cost]] = {}
        self._by_kind: dict[tuple[str, str, str], list[Cost]] = {}
        for cost in costs:
            self._by_stage.setdefault(cost.stage, []).append(cost)
            self._by_word.setdefault(cost.stage.partition("@")[0], []).append(cost)
            self._by_kind.setdefault((kind_of(cost.stage), cost.of.what, cost.of.like), []).append(cost)

    def estimate(self, stage: str, work: Work | None = None) -> Estimate | None:
        """The median of what is known; None where nothing is.

        work: what the stage will do; without it any run of its command is taken, at the amount of work that it had.
        """
        if work is None:
            return _median(self._by_stage.get(stage) or self._by_word.get(stage.partition("@")[0], []), PLAIN)
        own = [cost for cost in self._by_stage.get(stage, []) if cost.of.like in ("", work.like)]
        return _median(own or self._by_kind.get((kind_of(stage), work.what, work.like), []), work)


def total(names: Iterable[str], *known: Earlier) -> tuple[float, int]:
    """Seconds that stages take one after the other, and how many of them nothing is known of.

    known: what is asked first, and what is asked of stages that it does not know.
    """
    found = [next((each for one in known if (each := one.estimate(name))), None) for name in names]
    return sum(each.seconds for each in found if each), sum(each is None for each in found)


def of_project(project: Project) -> list[Cost]:
    """Of every stage's last run, on whatever data set. A record that cannot be used is left out."""
    found = []
    for path in sorted(project.costs("x", "y").parents[1].glob("*/*.json")):
        cost = _cost(path)
        if cost is not None:
            found.append(cost)
    return found


def of_sweeps(known: Mapping[str, Mapping[str, float]]) -> list[Cost]:
    """Of the points of sweeps. known: identity of a stage -> its name -> its seconds, 0 where it was restored."""
    return [Cost(name, 0.0, seconds) for times in known.values() for name, seconds in times.items() if seconds > 0]


def _cost(path: Path) -> Cost | None:
    content: dict[str, Any] = files.remembered(path)
    try:
        seconds = float(content["seconds"])
        elapsed = max(seconds, float(content.get("elapsed", seconds)))
        amount = content.get("amount")
        working, trained = seconds, float(content.get(TRAINED, 0.0))
        if trained:
            # What was resumed trained longer than its last start took.
            working, amount = trained, trained * float(content[RATE])
        of = Work(str(content.get("what", "")), str(content.get("like", "")), None if amount is None else float(amount))
        return Cost(
            path.stem, max(0.0, elapsed - working), working, of, content.get("peak_memory"), content.get("bytes")
        )
    except (KeyError, TypeError, ValueError):
        return None


def _median(costs: Sequence[Cost], work: Work) -> Estimate | None:
    if not costs:
        return None
    seconds, disks = [], []
    for cost in costs:
        ratio = work.amount / cost.of.amount if work.amount is not None and cost.of.amount else 1.0
        seconds.append(cost.fixed + cost.working * ratio)
        if cost.disk is not None:
            grows = kind_of(cost.stage) in ("prepare", "extract")
            disks.append(cost.disk * (ratio if grows else 1.0))
    memories = [float(cost.memory) for cost in costs if cost.memory is not None]
    return Estimate(
        statistics.median(seconds), max(memories, default=None), statistics.median(disks) if disks else None
    )
