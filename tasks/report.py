"""The last stage, `report`: reads the records of all stages, and writes tables and one page into results/.

Where stages failed, the same page is made of what there is (`write_incomplete`). DVC knows nothing of it: the stage
stays stale, and results/scores.csv and results/runs.csv stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tasks.process.files import whole_file
from tasks.project.paths import COST_TABLE, INCOMPLETE_SCORES, REPORT, RUNS, SCORES
from tasks.project.project import Project
from tasks.reporting import csv_files, records
from tasks.reporting.imprint import Absent, Imprint
from tasks.reporting.page import render
from tasks.reporting.tables import DataSet
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
    _write(project, {}, {SCORES: csv_files.scores_csv, RUNS: csv_files.runs_csv, COST_TABLE: csv_files.costs_csv})
    (project.state / INCOMPLETE_SCORES).unlink(missing_ok=True)


def write_incomplete(project: Project, absent: Absent) -> None:
    """Writes the page of what there is where stages failed, and its scores beside it; no output of the pipeline.

    absent: the stages that failed or were skipped, each with its state and the reason. Raises ValueError as `write`.
    """
    scores = (project.state / INCOMPLETE_SCORES).relative_to(project.root).as_posix()
    _write(project, {stage: (state, why) for stage, (state, why) in absent.items()}, {scores: csv_files.scores_csv})


def _write(project: Project, absent: Absent, tables: Mapping[str, Callable[[list[DataSet]], str]]) -> None:
    """Writes tables and, when they are there, the page."""
    parameters = scope.narrowed(project.parameters)
    datasets = records.collect(project, parameters, absent)
    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    own = Imprint(tuple(data.name for data in datasets), made_at, tuple(gap for data in datasets for gap in data.gaps))
    texts = {name: table(datasets) for name, table in tables.items()}
    texts[REPORT] = render(project, parameters, datasets, own)
    for name, text in texts.items():
        with whole_file(project.root / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
