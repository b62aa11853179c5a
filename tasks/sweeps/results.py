"""What the points of a sweep found: a record each, one table of all, means over seeds with intervals, a figure."""

from __future__ import annotations

import csv
import math
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssl_models.protocols._common.baselines import BASELINES
from tasks.process import files
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.sweeps import experiments, points
from tasks.sweeps.points import Point
from tasks.sweeps.settings import BEST, Measure, Sweep, describe, short

COLUMNS = ("run", "protocol", "layer", "metric", "value", "low", "high")
RUNNING = re.compile(r"^Running stage '(.+?)'", re.MULTILINE)
Record = dict[str, Any]


class Mean(NamedTuple):
    """A mean over seeds with its 95 % interval by Student's t; the ends are no numbers where there is one seed."""

    value: float
    low: float
    high: float
    seeds: int


def file(project: Project, point: Point, metrics: Mapping[str, Any], seconds: float, revision: str) -> Record:
    """Writes and returns a finished point's record. metrics: path -> content."""
    log = project.log(experiments.log_name(point))
    ran = RUNNING.findall(log.read_text(errors="replace")) if log.exists() else []
    record = {
        "sweep": point.sweep,
        "name": point.name,
        "settings": dict(point.settings),
        "seed": point.seed,
        "revision": revision,
        "seconds": seconds,
        "stages": dict(point.stages),
        "spent": spent([name for name in ran if name in point.stages], _costs(project, point), seconds),
        "scores": [score for path, content in sorted(metrics.items()) for score in scores(path, content)],
    }
    files.write_json(points.record_path(project, point.key), record)
    return record


def _costs(project: Project, point: Point) -> dict[str, float]:
    """Stage -> the seconds that it took, of those that ran for this point."""
    found = experiments.costs_folder(project, point).glob("*/*.json")
    return {path.stem: float(files.remembered(path).get("seconds", 0.0)) for path in found}


def spent(ran: Sequence[str], costs: Mapping[str, float], seconds: float) -> dict[str, float]:
    """Stage -> seconds of those that ran: as they recorded it, and what is left over shared by all alike."""
    own = {stage: costs.get(stage, 0.0) for stage in ran}
    rest = max(0.0, seconds - sum(own.values())) / max(1, len(ran))
    return {stage: taken + rest for stage, taken in own.items()}


def scores(path: str, content: Mapping[str, Any]) -> list[Record]:
    """The numbers of one metric file, metrics/DATA/RUN/NAME.json; of a training, everything in it that is a number."""
    run, _, name = path.removesuffix(".json").split("/", 1)[1].partition("/")[2].rpartition("/")
    if not run or "not_applicable" in content:
        return []
    if "scores" in content:
        return [{"run": run, "protocol": name, **score} for score in content["scores"]]
    numbers = {key: value for key, value in content.items() if isinstance(value, int | float) and value is not True}
    return [
        {"run": run, "protocol": name, "layer": "", "metric": key, "value": value, "low": value, "high": value}
        for key, value in numbers.items()
    ]


def value(record: Record, measure: Measure) -> float:
    """The number that `measure` names. Raises ParameterError where the point has none."""
    own = [s for s in record["scores"] if s["run"] == measure.run and s["protocol"] == measure.protocol]
    metric = measure.metric or (own[0]["metric"] if own else "")
    own = [s for s in own if s["metric"] == metric]
    own = [s for s in own if (s["layer"] not in BASELINES if measure.layer == BEST else s["layer"] == measure.layer)]
    if not own:
        raise ParameterError(
            f"point '{describe(record['settings'], record['seed'])}' has no {metric or 'score'} of {measure.target}"
            f"{'' if measure.layer == BEST else f' at layer {measure.layer}'}."
        )
    return max(float(score["value"]) for score in own)


def mean(values: Sequence[float]) -> Mean:
    """The mean of a number over seeds. Raises ValueError where there is none."""
    centre = statistics.fmean(values)
    if len(values) < 2:
        return Mean(centre, math.nan, math.nan, len(values))
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, 0.975)) * statistics.stdev(values) / math.sqrt(len(values))
    return Mean(centre, centre - half, centre + half, len(values))


def write_table(project: Project, sweep: Sweep, records: Iterable[Record]) -> Path:
    """The table results/sweeps/NAME.csv: a row a score, with its point's settings and seed; returns its path."""
    path = project.root / paths.SWEEPS / f"{sweep.name}.csv"
    keys = list(sweep.grid or sweep.search.get("space", {}))
    with files.whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["point", "seed", *map(short, keys), *COLUMNS])
        for record in records:
            own = [record["name"], record["seed"], *(record["settings"].get(key, "") for key in keys)]
            writer.writerows([*own, *(score[column] for column in COLUMNS)] for score in record["scores"])
    return path


def averages(records: Iterable[Record], measure: Measure) -> dict[str, tuple[dict[str, Any], Mean]]:
    """A combination of settings in words -> its settings, and the mean over its seeds."""
    found: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for record in records:
        settings = record["settings"]
        found.setdefault(describe(settings), (settings, []))[1].append(value(record, measure))
    return {name: (settings, mean(values)) for name, (settings, values) in found.items()}


def draw(project: Project, sweep: Sweep, records: Sequence[Record]) -> Path | None:
    """The figure results/sweeps/NAME.svg: the metric's mean and interval against the first of the grid's settings.

    A line for each combination of the others. None where the sweep names no metric.
    """
    if sweep.metric is None or not records:
        return None
    from ssl_models.figures import PALETTE
    from tasks.reporting.plots import figure_in_style

    shown = averages(records, sweep.metric)
    keys = list(sweep.grid or sweep.search.get("space", {}))[:1]
    ticks = list(dict.fromkeys(str(settings.get(keys[0])) if keys else "" for settings, _ in shown.values()))
    lines: dict[str, list[tuple[int, Mean]]] = {}
    for settings, average in shown.values():
        rest = describe({key: value for key, value in settings.items() if key not in keys})
        lines.setdefault(rest, []).append((ticks.index(str(settings.get(keys[0])) if keys else ""), average))
    with figure_in_style(3.2) as (figure, drawn):
        axes = figure.subplots()
        for number, (name, own) in enumerate(lines.items()):
            own.sort()
            errors = [[m.value - m.low for _, m in own], [m.high - m.value for _, m in own]]
            axes.errorbar(
                [place + 0.04 * number for place, _ in own],
                [m.value for _, m in own],
                errors,
                marker="o",
                markersize=4,
                capsize=2,
                color=PALETTE[number % len(PALETTE)],
                label=name or None,
            )
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlabel(short(keys[0]) if keys else "")
        axes.set_ylabel(f"{sweep.metric.target} {sweep.metric.metric}".strip())
        if any(lines):
            axes.legend(fontsize=7)
        figure.tight_layout(pad=0.4)
    path = project.root / paths.SWEEPS / f"{sweep.name}.svg"
    with files.whole_file(path) as temporary:
        temporary.write_text(drawn[0])
    return path
