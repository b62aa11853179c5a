"""The last stage, `report`: reads the records of all stages, and writes tables and one page into results/.

Where stages failed, the same page is made of what there is (`write_incomplete`). DVC knows nothing of it: the stage
stays stale, and results/scores.csv and results/runs.csv stay as they are; but where the map alone is missing, they are
written too, since no score depends on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from tasks.process.files import whole_file
from tasks.process.said import say_once
from tasks.project import paths
from tasks.project.paths import COST_TABLE, INCOMPLETE_SCORES, MODELS, REPORT, RUNS, SCORES, Places
from tasks.project.project import Project
from tasks.reporting import csv_files, models_file, records
from tasks.reporting.imprint import WITHOUT_SCORES, Absent, Imprint
from tasks.reporting.page import render
from tasks.reporting.ranking import winner
from tasks.reporting.tables import DataSet
from tasks.reporting.verdict import verdict
from tasks.selection import scope
from tasks.stage.context import Context, Result
from tasks.tracking import champion


def report(context: Context) -> Result:
    """metrics/<data> -> results/scores.csv, results/runs.csv, and results/report.html, results/costs.csv beside them.

    The page and the costs hold times, which differ from run to run: they are no outputs of DVC, and neither
    is results/dvc.yaml, which DVC itself reads.
    """
    publish(context.project)
    return Result(artifacts=[context.project.root / name for name in (REPORT, SCORES, RUNS)])


def publish(project: Project, absent: Mapping[str, tuple[str, str]] = {}) -> None:
    """Writes the results, as `write`, and has MLflow's registry follow them."""
    for data in write(project, absent):
        if paths.WORK not in os.environ:  # a point of a sweep registers nothing
            _tell_registry(project, data)


def write(project: Project, absent: Mapping[str, tuple[str, str]] = {}) -> list[DataSet]:
    """Writes the results of the selected runs, and gives their records.

    absent: the stages that failed or were skipped, each with its state and the reason; none of them has scores. Records
    that are not found are listed; one that cannot be read raises ValueError naming its file.
    """
    tables = {SCORES: csv_files.scores_csv, RUNS: csv_files.runs_csv, COST_TABLE: csv_files.costs_csv}
    datasets = _write(project, absent, tables)
    with whole_file(project.root / MODELS) as temporary:
        temporary.write_text(models_file.text(project, datasets), encoding="utf-8")
    (project.state / INCOMPLETE_SCORES).unlink(missing_ok=True)
    return datasets


def write_incomplete(project: Project, absent: Absent) -> None:
    """Writes the page of what there is where stages failed, and its scores beside it; no output of the pipeline.

    Where no scores are missing, the results are all written. The stage stays stale all the same: DVC is told nothing.
    absent: the stages that failed or were skipped, each with its state and the reason. Raises ValueError as `write`.
    """
    absent = {stage: (state, why) for stage, (state, why) in absent.items()}
    if set(absent) <= WITHOUT_SCORES:
        publish(project, absent)
        return
    scores = (project.state / INCOMPLETE_SCORES).relative_to(project.root).as_posix()
    _write(project, absent, {scores: csv_files.scores_csv})


def _write(project: Project, absent: Absent, tables: Mapping[str, Callable[[list[DataSet]], str]]) -> list[DataSet]:
    """Writes tables and, when they are there, the page; gives the records that they are made of."""
    parameters = scope.narrowed(project.parameters)
    datasets = records.collect(project, parameters, absent)
    made_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    own = Imprint(tuple(data.name for data in datasets), made_at, tuple(gap for data in datasets for gap in data.gaps))
    texts = {name: table(datasets) for name, table in tables.items()}
    texts[REPORT] = render(project, parameters, datasets, own)
    for name, text in texts.items():
        with whole_file(project.root / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    return datasets


def _tell_registry(project: Project, data: DataSet) -> None:
    """Has the alias `champion` of MLflow's registry follow the verdict; where that fails, the report stands."""
    best = winner(data)
    try:
        if best:
            folder = Places(project.root, data.name).encoder(best.name)
            told = champion.crown(project, data.name, best.name, folder, verdict(data)[0])
        else:
            told = champion.depose(project, data.name)
    except Exception as error:
        told = f"MLflow was not told which run leads on {data.name} ({error})."
    if told:
        say_once(told)
