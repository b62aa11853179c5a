"""The last stage: reads the metrics tree and the parameters, writes results/report.html and results/scores.csv."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_models.protocols._common.score import Score
from tasks.project.paths import REPORT, RUNS, SCORES, Store, whole_file
from tasks.reporting.tables import DataSet, Record, Run, headline, headline_measures, label, metric_name
from tasks.selection import scope

if TYPE_CHECKING:  # tasks.stage.run brings DVC, which the table at the end of a run does not need
    from tasks.stage.run import Context, Result

RUN_COLUMNS = (
    *("data", "run", "source", "method", "family", "reference", "epochs", "samples_seen", "views_seen", "chance"),
    *("loss", "accuracy", "seconds", "images_per_second", "peak_memory", "device", "precision", "threads", "seed"),
)
MOST_WIDE = 4
"""Measures that the table in a terminal names with their metric and layer; more have a word each."""
COLUMNS = ("data", "run", "source", "protocol", "layer", "metric", "value", "low", "high", "seed")


def report(context: Context) -> Result:
    """metrics/<data> -> results/report.html, results/scores.csv, results/runs.csv."""
    from tasks.stage.run import Result

    write(context.root, context.parameters)
    return Result(artifacts=[context.root / name for name in (REPORT, SCORES, RUNS)])


def write(root: Path, parameters: dict[str, Any]) -> None:
    """Writes the results, of the selected runs.

    Absent records are listed; one that cannot be read raises ValueError naming its file.
    """
    from tasks.reporting.page import render

    parameters = scope.narrowed(parameters)
    datasets = collect(root, parameters)
    page = render(root, parameters, datasets, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    for name, text in ((SCORES, scores_csv(datasets)), (RUNS, runs_csv(datasets)), (REPORT, page)):
        with whole_file(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")


def collect(root: Path, parameters: Mapping[str, Any]) -> list[DataSet]:
    """The records of every active data set: one run after another, each followed by its refits' records."""
    return [_dataset(root, name, parameters) for name in data_names(parameters)]


def data_names(parameters: Mapping[str, Any]) -> list[str]:
    """The active data sets: `data` is a list of names, or the block of the one that is worked on."""
    data = parameters["data"]
    if isinstance(data, Mapping):
        return [str(data["name"])]
    return [data] if isinstance(data, str) else [str(name) for name in data]


def _dataset(root: Path, name: str, parameters: Mapping[str, Any]) -> DataSet:
    store, missing = Store(root, name), list[str]()
    prepare = _record(store.metrics / "prepare.json", root, missing)
    samples = _record(store.metrics / "pictures" / "samples.json", root, missing)
    runs = [_run(store, run, parameters, missing) for run in (*parameters["pretrain"], *parameters["clusterfit"])]
    return DataSet(name, runs, prepare, samples, missing)


def _run(store: Store, name: str, parameters: Mapping[str, Any], missing: list[str]) -> Run:
    """One run's records. The root of a refit's sources gives its method."""
    refits, origin = parameters["clusterfit"], name
    while origin in refits:
        origin = refits[origin]["source"]
    block = (refits if name in refits else parameters["pretrain"])[name] or {}
    run = Run(name, block.get("source") if name in refits else None, str(parameters["pretrain"][origin]["method"]))
    training = _record(store.metric(name, "training.json"), store.root, missing)
    cluster = _record(store.metric(name, "cluster.json"), store.root, missing) if name in refits else {}
    measured = (*parameters["transfer"], *parameters["targets"])
    protocols = {p: _protocol(store.metric(name, f"{p}.json"), store.root, missing) for p in measured}
    curve = _curve(store.metric(name, "training.csv"))
    return replace(
        run,
        seed=block.get("seed", parameters.get("seed")),
        training=training,
        cluster=cluster,
        protocols=protocols,
        curve=curve,
    )


def _record(path: Path, root: Path, missing: list[str]) -> Record:
    """A JSON object; an absent file gives {} and is noted as missing."""
    if not path.exists():
        missing.append(path.relative_to(root).as_posix())
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run its stage again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, not a {type(content).__name__}; run its stage again")
    return content


def _protocol(path: Path, root: Path, missing: list[str]) -> Record:
    """A protocol's record with its scores read into Score; unknown limits are NaN."""
    record = _record(path, root, missing)
    if "scores" not in record:
        return record
    try:
        scores = [_score(entry) for entry in record["scores"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: every score needs layer, metric, value, low and high, the last three numbers ({error!r}); "
            "run its stage again"
        ) from error
    return {**record, "scores": scores}


def _score(entry: Mapping[str, Any]) -> Score:
    value, low, high = (math.nan if entry.get(key) is None else float(entry[key]) for key in ("value", "low", "high"))
    return Score(str(entry.get("layer") or ""), str(entry["metric"]), value, low, high)


def _curve(path: Path) -> list[dict[str, float]]:
    """The rows of a training curve; what is empty or no number is left out."""
    if not path.exists():
        return []
    rows = []
    with open(path, newline="") as file:
        for line in csv.DictReader(file):
            rows.append({key: number for key, text in line.items() if (number := _number(text)) is not None})
    return rows


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


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
    """What every training was and cost, one a line: peak_memory in bytes, times in seconds."""
    text = io.StringIO()
    writer = csv.DictWriter(text, RUN_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for data in datasets:
        for run in data.runs:
            own = {"data": data.name, "run": run.name, "source": run.source or "", "seed": run.seed}
            writer.writerow({"method": run.method} | run.training | own)
    return text.getvalue()


def terminal_table(root: Path) -> str:
    """The table printed at the end of a run, from results/scores.csv alone; the best of each column has a star."""
    path = root / SCORES
    if not path.exists():
        return f"There is no {SCORES} yet: it is written by the report stage."
    with open(path, newline="") as file:
        datasets = from_scores(list(csv.DictReader(file)))
    if not datasets:
        return f"{SCORES} holds no score: no protocol applied. {REPORT} says why."
    return "\n\n".join(_as_text(data) for data in datasets)


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
