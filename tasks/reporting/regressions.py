"""The regression alarm: the scores of a run against those that were published last.

Published is what the last commit of this branch holds in results/NAME.csv, as `make tables` files it, with the
params.yaml of the commit that changed that file last. Compared is each run's headline number under each protocol, at
its best layer, as in the report's table. All of these are shares of which more is better. A number is a regression
where the whole 95 % interval of the difference (new - published, `tables.difference`) lies below zero; for intervals
that are symmetric, where it has fallen by more than sqrt(old half-width^2 + new half-width^2). The interval is that of
the test samples: what another seed or another machine would change is not in it. So numbers that were made with other
settings, on another kind of device or in another precision are not compared, but counted.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from ssl_models.protocols._common.score import Score
from tasks.process.git import GitError, git
from tasks.project.paths import RUNS, SCORES
from tasks.project.project import Project
from tasks.reporting import tables
from tasks.reporting.csv_files import from_scores
from tasks.reporting.runs import Record, Run
from tasks.reporting.tables import DataSet, Measure
from tasks.selection import scope
from tasks.settings.encoders import encoder_of
from tasks.settings.schema import parse_yaml

HARDWARE = ("device", "precision", "threads")
COMMON = ("seed", "machine", "training", "extract")
"""The blocks of params.yaml that every number depends on."""
MOST_NAMED = 3


@dataclass(frozen=True)
class Published:
    """The scores of one data set as they were committed, and the parameters of that commit."""

    commit: str
    data: DataSet
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Regression:
    """A headline number that has become worse by more than the interval of the difference."""

    run: Run
    measure: Measure
    before: Score
    after: Score

    @property
    def text(self) -> str:
        """ "rotation, linear top-1: 70.1 % (68.1-72.0) after 84.0 % (82.3-85.5)", with true dashes."""
        after, before = (self._number(score) for score in (self.after, self.before))
        return f"{self.run.name}, {tables.metric_name(self.measure)}: {after} after {before}"

    def _number(self, score: Score) -> str:
        shown = self.measure
        return f"{shown.number(score.value)}{shown.unit} ({shown.interval(score.low, score.high)})"


@dataclass(frozen=True)
class Comparison:
    """What became of a data set's published numbers. others: setting -> how many numbers it kept from comparison."""

    data: str
    commit: str
    compared: int
    kept_out: int
    others: Mapping[str, int]
    worse: tuple[Regression, ...]

    @property
    def published(self) -> str:
        """The file and the commit that hold the published numbers."""
        return f"{_scores_file(self.data)} of {self.commit[:7]}"

    @property
    def note(self) -> str:
        """What was left out, and why; empty where nothing was."""
        if not self.kept_out:
            return ""
        named = sorted(self.others, key=lambda name: -self.others[name])
        listed = ", ".join(named[:MOST_NAMED]) + (", ..." if len(named) > MOST_NAMED else "")
        return (
            f"{self.kept_out} of {self.kept_out + self.compared} numbers are not compared with {self.published}: "
            f"they were made otherwise ({listed})."
        )


def of_results(project: Project) -> list[Comparison]:
    """The scores in results/ against the published ones: a comparison for each data set that has been published."""
    scores = project.root / SCORES
    if not scores.exists():
        return []
    runs = project.root / RUNS
    found = read(scores.read_text(), runs.read_text() if runs.exists() else "")
    compared = (against_published(project, project.parameters, data) for data in found)
    return [comparison for comparison in compared if comparison is not None]


def against_published(project: Project, parameters: Mapping[str, Any], data: DataSet) -> Comparison | None:
    """The comparison of one data set; None where no scores of it are published, or none that can be read."""
    published = last_published(project, data.name)
    return None if published is None else compare(published, parameters, data)


def last_published(project: Project, name: str) -> Published | None:
    """What was committed last of a data set's scores, or None."""
    file = _scores_file(name)
    commit = (_git(project, "log", "-1", "--format=%H", "HEAD", "--", file) or "").strip()
    scores = _git(project, "show", f"{commit}:./{file}") if commit else None
    if scores is None:
        return None
    try:
        found = read(scores, _git(project, "show", f"{commit}:./{RUNS}") or "")
        parameters = parse_yaml(_git(project, "show", f"{commit}:./params.yaml") or "")
    except (KeyError, ValueError, yaml.YAMLError):  # of another version of Covey: there is nothing to hold it against
        return None
    data = next((data for data in found if data.name == name), None)
    return Published(commit, data, parameters if isinstance(parameters, dict) else {}) if data else None


def read(scores: str, runs: str) -> list[DataSet]:
    """Data sets from the texts of a scores.csv and a runs.csv, which may tell nothing of some runs."""
    trained: dict[tuple[str, str], Record] = {
        (line["data"], line["run"]): {name: line[name] for name in HARDWARE if line.get(name)}
        for line in csv.DictReader(io.StringIO(runs))
    }
    return [
        replace(data, runs=[replace(run, training=trained.get((data.name, run.name), {})) for run in data.runs])
        for data in from_scores(list(csv.DictReader(io.StringIO(scores))))
    ]


def compare(published: Published, parameters: Mapping[str, Any], data: DataSet) -> Comparison:
    """Every headline number that both have, made in the same way, against its published form."""
    before = {run.name: run for run in published.data.runs}
    others: dict[str, int] = {}
    compared, kept_out, worse = 0, 0, []
    for run, shown, old, new in _pairs(before, data):
        differing = _differing(published, parameters, data.name, run, shown.protocol)
        differing |= _other_hardware(before[run.name], run)
        if differing:
            kept_out += 1
            for name in differing:
                others[name] = others.get(name, 0) + 1
            continue
        compared += 1
        if tables.difference(old, new)[2] < 0:
            worse.append(Regression(run, shown, old, new))
    return Comparison(data.name, published.commit, compared, kept_out, others, tuple(worse))


def _pairs(before: Mapping[str, Run], data: DataSet) -> Iterable[tuple[Run, Measure, Score, Score]]:
    """Each run's headline scores with their published forms, where both have an interval."""
    for shown in tables.headline_measures(data):
        for run in data.runs:
            old = tables.best(before[run.name], shown) if run.name in before else None
            new = tables.best(run, shown)
            if old and new and all(math.isfinite(limit) for score in (old, new) for limit in (score.low, score.high)):
                yield run, shown, old, new


def _differing(published: Published, now: Mapping[str, Any], data: str, run: Run, protocol: str) -> set[str]:
    """The settings of a number that were others when it was published, as "training.epochs"."""
    old, new = (settings(parameters, data, run.name, protocol) for parameters in (published.parameters, now))
    absent = object()
    return {name for name in old.keys() | new.keys() if old.get(name, absent) != new.get(name, absent)}


def settings(parameters: Mapping[str, Any], data: str, run: str, protocol: str) -> dict[str, Any]:
    """All that params.yaml says of one number: its data, its run with those that it learnt from, its protocol."""
    refits = parameters.get("clusterfit") or {}
    chosen: dict[str, Any] = {name: parameters.get(name) for name in COMMON}
    chosen[f"datasets.{data}"] = (parameters.get("datasets") or {}).get(data)
    for name in sorted(scope.with_sources([run], refits)):
        chosen[name] = refits.get(name) or (parameters.get("pretrain") or {}).get(name)
        chosen["encoder" if name == run else f"{name}.encoder"] = encoder_of(parameters, chosen[name] or {})
    for block in scope.PROTOCOLS.blocks:
        chosen[f"{block}.{protocol}"] = (parameters.get(block) or {}).get(protocol)
    return dict(tables.flatten(chosen))


def _other_hardware(before: Run, after: Run) -> set[str]:
    """Which of device, precision and threads are known of both trainings and differ."""
    known = [name for name in HARDWARE if before.training.get(name) and after.training.get(name)]
    return {name for name in known if str(before.training[name]) != str(after.training[name])}


def _scores_file(data: str) -> str:
    return Path(SCORES).with_name(f"{data}.csv").as_posix()


def _git(project: Project, *words: str) -> str | None:
    """What git prints, or None where it fails: no git, no repository, no such file there."""
    try:
        return git(project.root, *words)
    except GitError:
        return None
