"""The block `schedules` of params.yaml: what `covey serve` runs when, read and checked beforehand.

    schedules:
      nightly: {cron: "30 2 * * *", run: []}
      weekly: {cron: "0 4 * * 0", sweep: seeds, paused: true}

A schedule brings targets up to date (`run`, as on the command line of `covey run`; none stands for everything that is
selected) or makes a sweep. It may be given in full:

    cron: minute, hour, day of the month, month, day of the week.
    timezone: of the cron, as in Europe/Paris; the machine's own if it is left out, as cron has it.
    overlap: where another run is at work when the time comes: `skip` leaves this one out, `queue` waits.
    catch_up: whether times that were missed, as nothing was serving, are made good by one run at the next start.
    paused: shown on Prefect's page, where it can be started by hand, but not run by the clock.
"""

from __future__ import annotations

import calendar
import os
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tasks.selection import scope
from tasks.settings.kinds import KINDS, SWEEP_FILES
from tasks.settings.schema import NAME, Field, ParameterError, check_block, check_names, unknown

BLOCK = "schedules"
SKIP, QUEUE = "skip", "queue"
OVERLAPS = (SKIP, QUEUE)
FIELDS = {
    "cron": Field("str", True),
    "run": Field("list", False),
    "sweep": Field("str", False),
    "timezone": Field("str", False),
    "overlap": Field("str", False),
    "paused": Field("bool", False),
    "catch_up": Field("bool", False),
}
PARTS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, tuple(name.lower() for name in calendar.month_abbr[1:])),
    ("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
"""The fields of a cron: name, least, most, and names that stand for numbers, from the least on."""
LEAP_YEAR = 2024


@dataclass(frozen=True)
class Schedule:
    """One entry of the block. It has either `run`, the targets of a `covey run`, or `sweep`, the name of one."""

    name: str
    cron: str
    timezone: str
    run: tuple[str, ...] = ()
    sweep: str | None = None
    overlap: str = SKIP
    paused: bool = False
    catch_up: bool = True

    @property
    def command(self) -> str:
        """What a person would type: "covey run rotation"."""
        return " ".join(["covey", *(("sweep", self.sweep) if self.sweep else ("run", *self.run))])


def read(parameters: Mapping[str, Any]) -> dict[str, Schedule]:
    """The schedules of checked parameters by name."""
    here = local_timezone()
    return {
        name: Schedule(name, **{"timezone": here, **block, "run": tuple(block.get("run") or ())})
        for name, block in (parameters.get(BLOCK) or {}).items()
    }


def find(parameters: Mapping[str, Any], name: str) -> Schedule:
    """One schedule. Raises ParameterError where params.yaml has none of this name."""
    found = read(parameters)
    if name not in found:
        raise unknown("schedule", name, found, f"params.yaml: {BLOCK}")
    return found[name]


def check(parameters: Mapping[str, Any], root: Path) -> None:
    """Raises ParameterError where a schedule cannot be used; the file of a paused sweep may be missing."""
    block = parameters.get(BLOCK) or {}
    check_names(block, BLOCK, 'as in {cron: "30 2 * * *", run: []}')
    for name, content in block.items():
        where = f"{BLOCK}.{name}"
        check_block(content, FIELDS, where)
        check_cron(content["cron"], f"{where}.cron")
        if content.get("overlap", SKIP) not in OVERLAPS:
            raise unknown("way with an overlap", content["overlap"], OVERLAPS, f"{where}.overlap")
        if "timezone" in content:
            _check_timezone(content["timezone"], f"{where}.timezone")
        _check_work(content, parameters, root, where)


def check_cron(text: str, where: str) -> None:
    """Raises ParameterError unless `text` is five fields of numbers, ranges, lists and steps that some day fulfils."""
    words = text.split()
    if len(words) != len(PARTS):
        names = ", ".join(name for name, *_ in PARTS)
        raise ParameterError(f'{where}: "{text}" has {len(words)} fields; it needs {len(PARTS)}: {names}.')
    values = [_values(word, part, where) for word, part in zip(words, PARTS, strict=True)]
    _, _, days, months, _ = values
    # Cron takes either day where both are given: only without a day of the week can the date be one that never comes.
    if words[4] == "*" and not any(min(days) <= calendar.monthrange(LEAP_YEAR, month)[1] for month in months):
        raise ParameterError(f'{where}: "{text}" names a date that never comes.')


def local_timezone() -> str:
    """The IANA name of the machine's time zone; UTC where the system does not tell one."""
    given = os.environ.get("TZ", "").removeprefix(":")
    linked = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    return next((name for name in (given, linked) if name and _is_timezone(name)), "UTC")


def _values(word: str, part: tuple[str, int, int, tuple[str, ...]], where: str) -> set[int]:
    """The numbers that one field stands for: "*/15", "1-5", "mon,wed", "7"."""
    name, least, most, names = part
    found: set[int] = set()
    for piece in word.lower().split(","):
        span, _, step = piece.partition("/")
        first, dash, last = span.partition("-")
        numbers = (least, most) if span == "*" else (_number(first, part), _number(last if dash else first, part))
        low, high = numbers
        width = int(step) if step.isdecimal() else 0 if "/" in piece else 1
        if low is None or high is None or not least <= low <= high <= most or width < 1:
            allowed = f"{least} to {most}" + (f" or {names[0]} to {names[-1]}" if names else "")
            raise ParameterError(f"{where}: '{piece}' is no {name}; allowed are {allowed}, with *, - , / and commas.")
        found |= set(range(low, (most if "/" in piece and not dash else high) + 1, width))
    return found


def _number(text: str, part: tuple[str, int, int, tuple[str, ...]]) -> int | None:
    _, least, _, names = part
    if text in names:
        return least + names.index(text)
    return int(text) if text.isdecimal() else None


def _check_timezone(name: str, where: str) -> None:
    if not _is_timezone(name):
        known = sorted(zoneinfo.available_timezones())
        hint = str(unknown("time zone", name, known, where)).partition(" Known:")[0]
        raise ParameterError(f"{hint} It must be a name such as Europe/Paris or UTC.")


def _is_timezone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


def _check_work(content: Mapping[str, Any], parameters: Mapping[str, Any], root: Path, where: str) -> None:
    """A schedule has targets that there are, or a sweep whose file there is, and not both."""
    if ("run" in content) == ("sweep" in content):
        raise ParameterError(f"{where} must have either 'run' ([] is everything that is selected) or 'sweep'.")
    if content.get("run"):
        known = targets(parameters, root)
        for word in content["run"]:
            if word not in known:
                raise unknown("target", word, [name for name in known if "@" not in name], f"{where}.run")
    if "sweep" in content:
        name = content["sweep"]
        if not NAME.fullmatch(name):
            raise ParameterError(f"{where}.sweep: '{name}' is no name of a sweep; give it without folder and .yaml.")
        if not content.get("paused") and not (root / SWEEP_FILES / f"{name}.yaml").exists():
            there = [path.stem for path in (root / SWEEP_FILES).glob("*.yaml")]
            raise unknown("sweep", name, there, f"{where}.sweep")


def targets(parameters: Mapping[str, Any], root: Path) -> set[str]:
    """What may be a target of `covey run`, as in `plan.resolve`, told without asking DVC for its graph."""
    commands = (yaml.safe_load((root / "dvc.yaml").read_text()) or {}).get("stages") or {}
    kinds = set(KINDS)
    runs, protocols = scope.members(parameters, scope.RUNS), scope.members(parameters, scope.PROTOCOLS)
    keys = {*runs, *protocols, *(f"{run}-{protocol}" for run in runs for protocol in protocols)}
    return {*keys, *kinds, *commands, *(f"{command}@{key}" for command in commands for key in keys)}
