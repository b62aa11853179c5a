"""The records that the stages have left, read into data sets, runs and scores."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_models.protocols._common.score import Score
from tasks.process.files import read_json
from tasks.project.paths import TRAINING, Places
from tasks.project.project import Project
from tasks.reporting.tables import DataSet, Record, Run


def collect(project: Project, parameters: Mapping[str, Any]) -> list[DataSet]:
    """The records of every active data set: one run after another, each followed by its refits' records."""
    return [_dataset(project, name, parameters) for name in data_names(parameters)]


def data_names(parameters: Mapping[str, Any]) -> list[str]:
    """The active data sets: `data` is a list of names, or the block of the one that is worked on."""
    data = parameters["data"]
    if isinstance(data, Mapping):
        return [str(data["name"])]
    return [data] if isinstance(data, str) else [str(name) for name in data]


def _dataset(project: Project, name: str, parameters: Mapping[str, Any]) -> DataSet:
    places, missing = Places(project.root, name), list[str]()
    prepare = _record(places.preparation, project, missing) | _costs(project, name, "prepare")
    samples = _record(places.pictures / "samples.json", project, missing)
    every = (*parameters["pretrain"], *parameters["clusterfit"])
    runs = [_run(project, places, run, parameters, missing) for run in every]
    return DataSet(name, runs, prepare, samples, missing)


def _run(project: Project, places: Places, name: str, parameters: Mapping[str, Any], missing: list[str]) -> Run:
    """One run's records. The root of a refit's sources gives its method."""
    refits, origin = parameters["clusterfit"], name
    while origin in refits:
        origin = refits[origin]["source"]
    refit = name in refits
    block = (refits if refit else parameters["pretrain"])[name] or {}
    training = _record(places.metric(name, f"{TRAINING}.json"), project, missing)
    cluster = _record(places.metric(name, "cluster.json"), project, missing) if refit else {}
    suffix = "_clusterfit" if refit else ""
    protocols = {}
    for word, names in (("transfer", parameters["transfer"]), ("transfer_target", parameters["targets"])):
        for protocol in names:
            record = _protocol(places.metric(name, f"{protocol}.json"), project, missing)
            protocols[protocol] = record and record | _costs(project, places.data, f"{word}{suffix}@{name}-{protocol}")
    return Run(
        name,
        block.get("source") if refit else None,
        str(parameters["pretrain"][origin]["method"]),
        seed=block.get("seed", parameters.get("seed")),
        training=training
        and training | _costs(project, places.data, f"{'clusterfit' if refit else 'pretrain'}@{name}"),
        cluster=cluster and cluster | _costs(project, places.data, f"cluster@{name}"),
        protocols=protocols,
        curve=_curve(places.metric(name, f"{TRAINING}.csv")),
    )


def _costs(project: Project, data: str, stage: str) -> Record:
    """Seconds, rates and bytes of a stage's last run here; empty where it was not run here, but restored."""
    path = project.costs(stage, data)
    content: Record = read_json(path) if path.exists() else {}
    return {name: value for name, value in content.items() if name != "key"}


def _record(path: Path, project: Project, missing: list[str]) -> Record:
    """A JSON object; an absent file gives {} and is noted as missing."""
    if not path.exists():
        missing.append(path.relative_to(project.root).as_posix())
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run its stage again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, not a {type(content).__name__}; run its stage again")
    return content


def _protocol(path: Path, project: Project, missing: list[str]) -> Record:
    """A protocol's record with its scores read into Score; unknown limits are NaN."""
    record = _record(path, project, missing)
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
