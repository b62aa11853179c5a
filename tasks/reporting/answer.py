"""The report's answer in a few plain lines, as `covey run` and `covey report` print it below the table of scores."""

from __future__ import annotations

import re

from tasks.project.paths import SCORES
from tasks.project.project import Project
from tasks.reporting import advice, csv_files, imprint, records
from tasks.reporting.ranking import ranking
from tasks.reporting.tables import DataSet
from tasks.reporting.verdict import verdict
from tasks.selection import scope
from tasks.settings.schema import ParameterError


def answer_lines(project: Project) -> list[str]:
    """The first sentence of each data set's verdict, and a line for each next step; the page has the rest.

    Empty where the report lacks scores, and where the records have scores that are not those of the report.
    """
    own, path = imprint.read(project), project.root / SCORES
    if own is None or own.lacks_scores or not path.exists():
        return []
    try:
        datasets = records.collect(project, scope.narrowed(project.parameters), {})
        if csv_files.scores_csv(datasets) != path.read_text(encoding="utf-8"):
            return []
    except (ParameterError, ValueError, OSError):
        return []
    return [line for data in datasets for line in (verdict(data)[0], *map(_short, _steps(data)))]


def _steps(data: DataSet) -> list[str]:
    first = next((run for run, _, _ in ranking(data)), None)
    return advice.next_steps(data, first) if first else []


def _short(step: str) -> str:
    """What a step is, and the command for it where there is one: "Next: A larger size: covey run --size 128"."""
    command = re.search(r"`(covey [^`]*)`", step)
    return f"Next: {step.partition(':')[0]}{f': {command[1]}' if command else ''}"
