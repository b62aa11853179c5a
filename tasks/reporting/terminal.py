"""The table of scores in plain characters, as `covey run` and `covey report` print it."""

from __future__ import annotations

import csv

from tasks.project.paths import INCOMPLETE_SCORES, REPORT, SCORES
from tasks.project.project import Project
from tasks.reporting import imprint
from tasks.reporting.csv_files import from_scores
from tasks.reporting.headline import headline
from tasks.reporting.tables import DataSet, headline_measures, label, metric_name

MOST_WIDE = 4
"""Measures that the table names with their metric and layer; more have a word each."""


def terminal_table(project: Project) -> str:
    """The table printed at the end of a run; the best of each column has a star.

    It is made of results/scores.csv alone, or, where it lacks scores, of those that the page was made of.
    """
    own = imprint.read(project)
    incomplete = own is not None and own.lacks_scores
    path = project.state / INCOMPLETE_SCORES if incomplete else project.root / SCORES
    if not path.exists():
        return f"There is no {path.relative_to(project.root)} yet: it is written with the report."
    with open(path, newline="") as file:
        datasets = from_scores(list(csv.DictReader(file)))
    if not datasets:
        if incomplete:
            return f"There is no score of what there is. {REPORT} says why."
        return f"{SCORES} holds no score: no protocol applied. {REPORT} says why."
    return "\n\n".join(_as_text(data) for data in datasets)


def _as_text(data: DataSet) -> str:
    """The headline table in plain characters, columns aligned."""
    ours, controls = headline(data)
    shown = headline_measures(data)
    few = len(shown) <= MOST_WIDE
    names = [f"{metric_name(m)}{', ' + m.unit.strip() if m.unit else ''}" if few else label(m.protocol) for m in shown]
    heads, body = [data.name, *names], []
    for row in (*ours, *controls):
        layers = [f" ({c.layer})" if c.layer and few else "" for c in row.cells]
        cells = [f"{'*' * c.best}{c.value}{layer}" for c, layer in zip(row.cells, layers, strict=True)]
        body.append([f"{'  ' if row.run.source else ''}{row.run.name}", *cells])
    widths = [max(len(line[column]) for line in [heads, *body]) for column in range(len(heads))]
    rule = ["─" * width for width in widths]
    split = [rule] if ours and controls else []
    table = [heads, rule, *body[: len(ours)], *split, *body[len(ours) :]]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table
    )
