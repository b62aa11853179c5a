"""The records that the stages have left, read into data sets, runs and scores."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_models.protocols._common.score import Score
from tasks.process.files import remembered
from tasks.project.paths import TRAINING, Places
from tasks.project.project import Project
from tasks.reporting import imprint
from tasks.reporting.imprint import NOT_APPLICABLE, SKIPPED, STALE, Absent
from tasks.reporting.runs import SUPERVISED, Record, Run
from tasks.reporting.tables import DataSet
from tasks.settings.refits import continues, method_of
from tasks.stage.costs import DESCRIBING

PREPARE = "prepare"
"""The stage that every other follows from: where it failed, nothing is known of the data."""


def collect(project: Project, parameters: Mapping[str, Any], absent: Absent) -> list[DataSet]:
    """The records of every active data set: one run after another, each followed by its refits' records.

    absent: the stages that failed or were skipped. What they left earlier is not read.
    """
    return [_dataset(project, name, parameters, absent) for name in data_names(parameters)]


@dataclass(frozen=True)
class _Reader:
    """Reads the records of one data set.

    missing: the files that were not found. lacking: the stages without numbers, and why; it grows by the skipped ones
    that left a record earlier, and by those that were not applicable.
    """

    project: Project
    data: str
    lacking: dict[str, tuple[str, str]]
    missing: list[str] = field(default_factory=list)

    def record(self, path: Path, stage: str) -> Record:
        """A stage's record: a JSON object with its costs, or why there is none; {} and noted where it is not found."""
        if stage in self.lacking:
            state, why = self.lacking[stage]
            if state == SKIPPED and path.exists():
                self.lacking[stage] = state, why = STALE, f"left by earlier inputs; skipped {why}"
            return {"absent": state, "why": why}
        record = self.read(path)
        if "not_applicable" in record:
            protocol = stage.rpartition("-")[2]
            self.lacking[stage] = NOT_APPLICABLE, str(record["not_applicable"]).removeprefix(f"{protocol}: ")
        return record and record | _costs(self.project, self.data, stage)

    def read(self, path: Path) -> Record:
        """A JSON object; {} where the file is not found, which is noted."""
        if not path.exists():
            self.missing.append(path.relative_to(self.project.root).as_posix())
            return {}
        try:
            content = json.loads(path.read_text())
        except ValueError as error:
            raise ValueError(f"{path} is not valid JSON ({error}); delete it and run its stage again") from error
        if not isinstance(content, dict):
            raise ValueError(f"{path} must hold an object, not a {type(content).__name__}; run its stage again")
        return content


def data_names(parameters: Mapping[str, Any]) -> list[str]:
    """The active data sets: `data` is a list of names, or the block of the one that is worked on."""
    data = parameters["data"]
    if isinstance(data, Mapping):
        return [str(data["name"])]
    return [data] if isinstance(data, str) else [str(name) for name in data]


def _dataset(project: Project, name: str, parameters: Mapping[str, Any], absent: Absent) -> DataSet:
    places, reader = Places(project.root, name), _Reader(project, name, dict(absent))
    prepare = reader.record(places.preparation, PREPARE)
    prepared = PREPARE not in absent
    samples = reader.read(places.pictures / "samples.json") if prepared else {}
    every = (*parameters["pretrain"], *parameters["clusterfit"])
    runs = [_run(reader, places, run, parameters) for run in every]
    block = parameters["data"] if isinstance(parameters["data"], dict) else {}
    gaps = imprint.gaps(reader.lacking)
    return DataSet(name, runs, prepare if prepared else {}, samples, reader.missing, gaps, block)


def _run(reader: _Reader, places: Places, name: str, parameters: Mapping[str, Any]) -> Run:
    """One run's records."""
    refits = parameters["clusterfit"]
    refit = name in refits
    block = (refits if refit else parameters["pretrain"])[name] or {}
    suffix, train = ("_clusterfit", "clusterfit") if refit else ("", "pretrain")
    cluster = reader.record(places.metric(name, "cluster.json"), f"cluster@{name}") if refit else {}
    training = reader.record(places.metric(name, f"{TRAINING}.json"), f"{train}@{name}")
    protocols = {}
    for word, names in (("transfer", parameters["transfer"]), ("transfer_target", parameters["targets"])):
        for protocol in names:
            path = places.metric(name, f"{protocol}.json")
            protocols[protocol] = _with_scores(path, reader.record(path, f"{word}{suffix}@{name}-{protocol}"))
    return Run(
        name,
        block.get("source") if refit else None,
        _method(parameters, name),
        seed=block.get("seed", parameters.get("seed")),
        training=training,
        cluster=cluster,
        protocols=protocols,
        curve=[] if "absent" in training else _curve(places.metric(name, f"{TRAINING}.csv")),
    )


def _method(parameters: Mapping[str, Any], name: str) -> str:
    """What a run's representation has learnt by: the method of the root of its sources.

    Where a refit goes on with its source's weights, that is its own method; but what has once learnt from the labels of
    the data stays supervised.
    """
    refits, chain = parameters["clusterfit"], []
    while name in refits:
        chain += [method_of(refits[name])] if continues(refits[name]) else []
        name = refits[name]["source"]
    chain.append(str(parameters["pretrain"][name]["method"]))
    return SUPERVISED if SUPERVISED in chain else chain[0]


def _costs(project: Project, data: str, stage: str) -> Record:
    """Seconds, rates and bytes of a stage's last run here; empty where it was not run here, but restored."""
    content = remembered(project.costs(stage, data))
    return {name: value for name, value in content.items() if name not in DESCRIBING}


def _with_scores(path: Path, record: Record) -> Record:
    """A protocol's record with its scores read into Score; unknown limits are NaN."""
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
