"""The tables of METHODS.md for data of any kind: every run, by every protocol's headline and what it adds to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from statistics import mean, stdev

from benchmarks.page import csv_lines, table
from ssl_models.protocols._common.baselines import BASELINES, OTHER_SOUND
from ssl_models.protocols._common.statement import SHARE, Statement, giving, names, statement

ADDED = {
    "probes": ("top1_*",),
    "analogies": ("parallel",),
    "frame_neighbours": ("scene", "class"),
    "localisation": ("chosen",),
    "log_likelihood": ("gap",),
    "energy_surface": ("led_back", "flat", "pair_error"),
    "parameters": ("fields",),
}
"""Metrics that a protocol's column is followed by; of a pattern, all that it matches."""
OF_NO_RUN = tuple(name for name in BASELINES if name != OTHER_SOUND)
"""Rows that are the same whatever run they stand beside."""
Column = tuple[str, str]
"""Protocol and metric."""
Cells = Mapping[tuple[str, str, str], Sequence[float]]
"""(run, layer, metric of a protocol as "protocol.metric") -> its values, one a seed."""


def measures(folder: Path, data: str) -> str:
    """A row a run, at the best layer of each column, and a row for what owes nothing to a run, such as mfcc."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    sources: dict[str, str] = {}
    columns: dict[Column, None] = {}
    for path in sorted(folder.glob(f"{data}.seed*.scores.csv")):
        lines = [line for line in csv_lines(path) if line["value"]]
        for line in lines:
            sources.setdefault(line["run"], line["source"])
            cell = line["run"], line["layer"], f"{line['protocol']}.{line['metric']}"
            cells.setdefault(cell, []).append(float(line["value"]))
        columns |= dict.fromkeys(_columns(lines))
    body = []
    for run in sources:
        found = [_best(cells, run, column) for column in columns]
        body.append([f"{run}, of {sources[run]}" if sources[run] else run, *found])
    layers = {layer for _, layer, _ in cells}
    for name in (baseline for baseline in OF_NO_RUN if baseline in layers):
        first = next(run for run, layer, _ in cells if layer == name)
        body.append([f"*{name}*", *(_text(cells.get((first, name, ".".join(c))), c) for c in columns)])
    heads = [f"{statement(protocol).title}: {metric.replace('_', ' ')}" for protocol, metric in columns]
    return table(["run", *heads], body)


def _columns(lines: Sequence[Mapping[str, str]]) -> list[Column]:
    """The headline of each protocol, and what is added to it, in the order of the file."""
    metrics: dict[str, dict[str, None]] = {}
    for line in lines:
        metrics.setdefault(line["protocol"], {})[line["metric"]] = None
    found = []
    for protocol, there in metrics.items():
        own = [n for pattern in ADDED.get(protocol, ()) for n in there if fnmatchcase(n, pattern)]
        headline = _stated(protocol, there).headline_among(there)
        found += [(protocol, name) for name in dict.fromkeys([headline, *own]) if name]
    return found


def _stated(protocol: str, metrics: Iterable[str]) -> Statement:
    """What a protocol states, or that of a target of this name, which its metrics tell."""
    found = None if protocol in names() else giving(metrics)
    return found or statement(protocol)


def _best(cells: Cells, run: str, column: Column) -> str:
    """The best layer's value, and the layer where there are several."""
    wanted = ".".join(column)
    own = {
        layer: values
        for (of, layer, metric), values in cells.items()
        if of == run and metric == wanted and layer not in BASELINES
    }
    if not own:
        return "–"
    layer = max(own, key=lambda name: mean(own[name]))
    return f"{_text(own[layer], column)} {layer if len(own) > 1 else ''}".strip()


def _text(values: Sequence[float] | None, column: Column) -> str:
    """ "61.2" in % of a share, "0.783" of any other number, with the deviation over seeds."""
    if not values:
        return "–"
    protocol, metric = column
    share = _stated(protocol, [metric]).unit(metric) == SHARE
    factor, digits = (100, 1) if share else (1, 3)
    spread = f" ± {factor * stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{factor * mean(values):.{digits}f}{spread}"
