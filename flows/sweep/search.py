"""Runs a search for `covey sweep`: rounds of trials, and the tables of their results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from flows.run.slots import places
from flows.sweep import execution
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import points
from tasks.sweeps.points import Point
from tasks.sweeps.settings import Sweep, describe
from tasks.sweeps.trials import DONE, FAILED, RUNNING, SearchStudy, Trial

if TYPE_CHECKING:
    from flows.sweep.execution import Runner

BEST = 5


class SearchRun:
    """A search in progress. The servers start with the first point that has to run."""

    def __init__(self, project: Project, sweep: Sweep, jobs: int | None) -> None:
        self.project, self.sweep, self.jobs = project, sweep, jobs
        self.study = SearchStudy(project, sweep)
        self.failed = False
        self._servers = ExitStack()
        self._run: Runner | None = None

    def run(self) -> None:
        """Runs rounds until there are enough trials. A failed trial does not stop the search."""
        slots, devices = places(self.sweep.parameters["machine"])
        at_once = self.jobs or max(slots, len(devices))
        width = -(-at_once // len(self.sweep.seeds))
        with self._servers:
            while taken := self.study.take(width):
                self._round(taken)

    def _round(self, taken: Sequence[Trial]) -> None:
        every: dict[int, list[Point]] = {}
        for trial in taken:
            try:
                every[trial.number] = self.study.points(trial)
            except ParameterError as error:  # settings that are valid one by one, but not together
                self._fail(trial, str(error))
        self._bring([point for own in every.values() for point in own])
        for trial in taken:
            if trial.number in every:
                self._judge(trial, every[trial.number])

    def _bring(self, every: Sequence[Point]) -> None:
        """Runs the points that have no record."""
        new = execution.todo(self.project, every)
        if not new:
            return
        if self._run is None:
            self._run = self._servers.enter_context(execution.servers(self.project))
        execution.tell_failures(self._run([self.sweep], new, self.jobs))

    def _judge(self, trial: Trial, own: Sequence[Point]) -> None:
        """Reports the value of a trial to the study. Raises ParameterError if no trial has the metric."""
        records = [record for point in own if (record := points.record(self.project, point)) is not None]
        if len(records) < len(own):
            self._fail(trial, f"{len(own) - len(records)} of its {len(own)} points have failed.")
            return
        try:
            value = self.study.mean(records).value
        except ParameterError as error:
            if not self.study.best():
                raise
            self._fail(trial, str(error))
            return
        self.study.tell(trial, value)
        print(f"trial {trial.number}: {describe(trial.settings)}: {value:.4g}", flush=True)

    def _fail(self, trial: Trial, reason: str) -> None:
        self.failed = True
        self.study.tell(trial, None)
        print(f"trial {trial.number}: {describe(trial.settings)}: failed: {reason}", file=sys.stderr)


def run_search(project: Project, sweep: Sweep, jobs: int | None) -> bool:
    """Runs a search to its end and prints the result. Returns whether a trial failed."""
    work = SearchRun(project, sweep, jobs)
    work.run()
    found: dict[str, Point] = {}
    for trial in work.study.trials():
        found |= {point.key: point for point in _points(work.study, trial)}
    records = execution.write_table(project, sweep, list(found.values()))
    _count(work.study)
    _tell_best(work.study, BEST)
    if records:
        execution.tell_places(project, sweep)
    return work.failed


def show_plan(project: Project, sweep: Sweep) -> None:
    """Prints the space, the trials so far and the best trial."""
    study = SearchStudy(project, sweep, reading=True)
    space = Table("setting", "drawn from", box=None, pad_edge=False)
    for key, content in study.search.space.items():
        space.add_row(key, _range(content))
    _console().print(space)
    table = Table("trial", "settings", "state", _metric(sweep), box=None, pad_edge=False)
    for trial in study.trials():
        value = "" if trial.value is None else f"{trial.value:.4g}"
        table.add_row(str(trial.number), describe(trial.settings), trial.state, value)
    if table.row_count:
        _console().print(table)
    _count(study)
    _tell_best(study, 1)


def _count(study: SearchStudy) -> None:
    states = [trial.state for trial in study.trials()]
    parts = [f"{states.count(state)} {state}" for state in (DONE, FAILED, RUNNING) if state in states]
    print(f"Trials: {', '.join(parts) or 'none yet'}, of {study.search.trials} by {study.search.sampler}.")


def _tell_best(study: SearchStudy, count: int) -> None:
    """Prints the best trials, with the interval over seeds."""
    table = Table("best", "trial", _metric(study.sweep), "95 %", "seeds", box=None, pad_edge=False)
    for trial in study.best()[:count]:
        records = [points.record(study.project, point) for point in _points(study, trial)]
        known = [record for record in records if record is not None]
        mean = study.mean(known) if known else None
        ends = f"{mean.low:.4g} to {mean.high:.4g}" if mean is not None and mean.seeds > 1 else ""
        table.add_row(describe(trial.settings), str(trial.number), f"{trial.value:.4g}", ends, str(len(known)))
    if table.row_count:
        _console().print(table)


def _points(study: SearchStudy, trial: Trial) -> list[Point]:
    """The points of a trial; none if its settings are invalid."""
    try:
        return study.points(trial)
    except ParameterError:
        return []


def _range(content: object) -> str:
    if not isinstance(content, dict):
        return f"one of {content}"
    kind = "whole numbers " if all(isinstance(content[end], int) for end in ("low", "high")) else ""
    return f"{kind}{content['low']} to {content['high']}{', on a log scale' if content.get('log') else ''}"


def _metric(sweep: Sweep) -> str:
    return f"{sweep.metric.target} {sweep.metric.metric}".strip() if sweep.metric else ""


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 200)
