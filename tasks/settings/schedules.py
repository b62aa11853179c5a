"""The block `schedules` of params.yaml: what `covey serve` runs, and when. It is read and checked here.

    schedules:
      nightly: {cron: "30 2 * * *", run: []}
      weekly: {cron: "0 4 * * 0", sweep: seeds, paused: true}

A schedule has either `run`, the targets to bring up to date, as on the command line of `covey run` ([] is everything
that is selected), or `sweep`, the name of a sweep. The other settings:

    cron: minute, hour, day of the month, month, day of the week.
    timezone: the time zone of the cron expression, such as Europe/Paris; by default that of the machine.
    overlap: if another run is still active at the scheduled time, `skip` this one (the default) or `queue` it.
    catch_up: whether one run at the next start makes up for the times at which nothing was serving; true by default.
    paused: the schedule is on Prefect's page and can be started there by hand, but the clock does not start it.
"""

from __future__ import annotations

import os
import re
import zoneinfo
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cronsim import CronSim, CronSimError

from tasks.selection import scope
from tasks.settings import dvc_file
from tasks.settings.schema import Field, ParameterError, check_block, check_names, unknown
from tasks.settings.stage_kinds import KINDS, SWEEP_FILES
from tasks.settings.values import is_name, shown

BLOCK = "schedules"
SKIP, QUEUE = "skip", "queue"
OVERLAPS = (SKIP, QUEUE)
FIELDS = {
    "cron": Field("str", True),
    "run": Field("list[str]", False),
    "sweep": Field("str", False),
    "timezone": Field("str", False),
    "overlap": Field("str", False),
    "paused": Field("bool", False),
    "catch_up": Field("bool", False),
}
CRON_FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day of the month": "1 to 31",
    "month": "1 to 12 or jan to dec",
    "day of the week": "0 to 7 (0 and 7 are Sunday) or sun to sat",
}
"""The fields of a cron expression in their order, and the values that each may have."""
LONGEST_CRON = 1000
CRON_FIELD = re.compile(r"(\d|[A-Za-z]{3}|[*,/-])+")
"""Leaves out L, W and #, which cronsim knows: Prefect, which runs the schedules, reads them differently."""


@dataclass(frozen=True)
class Schedule:
    """One entry of the block. It has either `run`, the targets of `covey run`, or `sweep`, the name of a sweep."""

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
        """The same as a command line: "covey run rotation"."""
        return " ".join(["covey", *(("sweep", self.sweep) if self.sweep else ("run", *self.run))])


def read(parameters: Mapping[str, Any]) -> dict[str, Schedule]:
    """Name -> schedule. The parameters must have been checked."""
    here = local_timezone()
    return {
        name: Schedule(name, **{"timezone": here, **block, "run": tuple(block.get("run") or ())})
        for name, block in (parameters.get(BLOCK) or {}).items()
    }


def find(parameters: Mapping[str, Any], name: str) -> Schedule:
    """The schedule of that name. Raises ParameterError if params.yaml has none."""
    found = read(parameters)
    if name not in found:
        raise unknown("schedule", name, found, f"params.yaml: {BLOCK}")
    return found[name]


def check_schedules(parameters: Mapping[str, Any], root: Path) -> None:
    """Raises ParameterError if a schedule cannot be used. Only the sweep of a paused schedule may have no file."""
    block = parameters.get(BLOCK)
    block = {} if block is None else block
    check_names(block, BLOCK, 'as in {cron: "30 2 * * *", run: []}')
    for name, content in block.items():
        where = f"{BLOCK}.{name}"
        check_block(content, FIELDS, where)
        check_cron(content["cron"], f"{where}.cron")
        if content.get("overlap", SKIP) not in OVERLAPS:
            raise unknown("value", content["overlap"], OVERLAPS, f"{where}.overlap")
        if "timezone" in content:
            _check_timezone(content["timezone"], f"{where}.timezone")
        _check_work(content, parameters, root, where)


def check_cron(text: str, where: str) -> None:
    """Raises ParameterError unless `text` is a cron expression of five fields, whose day comes in one of its months."""
    if not text.isascii() or len(text) > LONGEST_CRON:
        raise ParameterError(
            f"{where}: {shown(text)} is not a cron expression: at most {LONGEST_CRON} ASCII characters."
        )
    words = text.split()
    if len(words) != len(CRON_FIELDS):
        names = ", ".join(CRON_FIELDS)
        raise ParameterError(
            f"{where}: {shown(text)} has {len(words)} fields; a cron expression has {len(CRON_FIELDS)}, as in "
            f'"30 2 * * mon-fri": {names}.'
        )
    for place, (word, (name, allowed)) in enumerate(zip(words, CRON_FIELDS.items(), strict=True)):
        alone = ["*"] * len(words)
        alone[place] = word
        if not CRON_FIELD.fullmatch(word) or not _comes(" ".join(alone)):
            raise ParameterError(
                f"{where}: '{word}' in \"{text}\" is not a valid {name}; use {allowed}, with * for all, - for a range, "
                'a comma for a list and / for a step, as in "*/15 8-18 * * mon,wed".'
            )
    # Cron takes either day where both are given; Prefect fails if the day of the month never comes.
    if not _comes(" ".join([*words[:-1], "*"])):
        raise ParameterError(f'{where}: "{text}" is a date that never comes.')


def _comes(cron: str) -> bool:
    """Whether a cron expression is valid and matches some time."""
    try:
        next(CronSim(cron, datetime(2024, 1, 1)))
    except (CronSimError, StopIteration):
        return False
    return True


def local_timezone() -> str:
    """The IANA name of the machine's time zone; UTC if the system does not name one."""
    given = os.environ.get("TZ", "").removeprefix(":")
    linked = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    return next((name for name in (given, linked) if name and _is_timezone(name)), "UTC")


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
    """Refuses unknown targets, a sweep without a file, and a schedule that has both or neither."""
    if ("run" in content) == ("sweep" in content):
        raise ParameterError(f"{where} must have either 'run' ([] for everything that is selected) or 'sweep'.")
    if content.get("run"):
        known = targets(parameters, root)
        for word in content["run"]:
            if not isinstance(word, str) or word not in known:
                raise unknown("target", word, [name for name in known if "@" not in name], f"{where}.run")
    if "sweep" in content:
        name = content["sweep"]
        if not is_name(name):
            raise ParameterError(
                f"{where}.sweep: {shown(name)} is not the name of a sweep; write it without a folder and without .yaml."
            )
        if not content.get("paused") and not (root / SWEEP_FILES / f"{name}.yaml").exists():
            there = [path.stem for path in (root / SWEEP_FILES).glob("*.yaml")]
            raise unknown("sweep", name, there, f"{where}.sweep")


def targets(parameters: Mapping[str, Any], root: Path) -> set[str]:
    """Every word that `covey run` accepts as a target (see `plan.resolve`), without asking DVC for its graph."""
    commands = dvc_file.stages(root)
    kinds = set(KINDS)
    runs, protocols = scope.members(parameters, scope.RUNS), scope.members(parameters, scope.PROTOCOLS)
    keys = {*runs, *protocols, *(f"{run}-{protocol}" for run in runs for protocol in protocols)}
    return {*keys, *kinds, *commands, *(f"{command}@{key}" for command in commands for key in keys)}
