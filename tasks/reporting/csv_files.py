"""The tables in results/ as texts: every score, what every training was, and what every stage cost."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable

from ssl_models.protocols._common.score import Score
from tasks.reporting.runs import Record, Run
from tasks.reporting.tables import DataSet

COLUMNS = ("data", "run", "source", "protocol", "layer", "metric", "value", "low", "high", "seed")
RUN_COLUMNS = (
    *("data", "run", "source", "method", "family", "reference", "epochs", "samples_seen", "views_seen", "chance"),
    *("loss", "accuracy", "device", "precision", "threads", "seed"),
)
COST_COLUMNS = (
    *("data", "run", "stage", "seconds", "training_seconds", "monitor_seconds", "samples_per_second", "peak_memory"),
)


def scores_csv(datasets: list[DataSet]) -> str:
    """Every score of every run, one a line, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for data in datasets:
        for run in data.runs:
            for protocol in run.protocols:
                for s in run.scores(protocol):
                    limits = ["" if math.isnan(value) else repr(value) for value in (s.value, s.low, s.high)]
                    writer.writerow(
                        [data.name, run.name, run.source or "", protocol, s.layer, s.metric, *limits, run.seed]
                    )
    return text.getvalue()


def runs_csv(datasets: list[DataSet]) -> str:
    """What every training was, one a line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, RUN_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for data in datasets:
        for run in data.runs:
            own = {"data": data.name, "run": run.name, "source": run.source or "", "seed": run.seed}
            writer.writerow({"method": run.method} | run.training | own)
    return text.getvalue()


def costs_csv(datasets: Iterable[DataSet]) -> str:
    """What every stage of a run cost, one a line: times in seconds, images a second, peak_memory in bytes."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COST_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for data in datasets:
        for run in data.runs:
            records = {"training": run.training, "cluster": run.cluster, **run.protocols}
            for stage, record in records.items():
                if "seconds" in record:
                    writer.writerow({**record, "data": data.name, "run": run.name, "stage": stage})
    return text.getvalue()


def from_scores(lines: list[dict[str, str]]) -> list[DataSet]:
    """Data sets as far as the scores alone tell: a run's name stands for its method."""
    sources = {(line["data"], line["run"]): line["source"] or None for line in lines}
    protocols: dict[tuple[str, str], dict[str, Record]] = {key: {} for key in sources}
    for line in lines:
        value, low, high = (math.nan if line[key] == "" else float(line[key]) for key in ("value", "low", "high"))
        record = protocols[line["data"], line["run"]].setdefault(line["protocol"], {"scores": []})
        record["scores"].append(Score(line["layer"], line["metric"], value, low, high))
    found = []
    for data in dict.fromkeys(data for data, _ in sources):
        runs = []
        for run in [run for other, run in sources if other == data]:
            origin = run
            while sources.get((data, origin)):
                origin = str(sources[data, origin])
            runs.append(Run(run, sources[data, run], origin, protocols=protocols[data, run]))
        found.append(DataSet(data, runs))
    return found
