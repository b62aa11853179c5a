"""The last stage, `report`: reads the records of all stages, and writes tables and one page into results/."""

from __future__ import annotations

from datetime import UTC, datetime

from tasks.process.files import whole_file
from tasks.project.paths import COST_TABLE, REPORT, RUNS, SCORES
from tasks.project.project import Project
from tasks.reporting import csv_files, records
from tasks.reporting.page import render
from tasks.selection import scope
from tasks.stage.context import Context, Result


def report(context: Context) -> Result:
    """metrics/<data> -> results/scores.csv, results/runs.csv, and results/report.html, results/costs.csv beside them.

    The page and the costs hold times, which differ from run to run: they are no outputs of DVC.
    """
    write(context.project)
    return Result(artifacts=[context.project.root / name for name in (REPORT, SCORES, RUNS)])


def write(project: Project) -> None:
    """Writes the results of the selected runs.

    Absent records are listed; one that cannot be read raises ValueError naming its file.
    """
    parameters = scope.narrowed(project.parameters)
    datasets = records.collect(project, parameters)
    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    texts = {
        SCORES: csv_files.scores_csv(datasets),
        RUNS: csv_files.runs_csv(datasets),
        COST_TABLE: csv_files.costs_csv(datasets),
        REPORT: render(project, parameters, datasets, made_at),
    }
    for name, text in texts.items():
        with whole_file(project.root / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
