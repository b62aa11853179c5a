"""What a protocol found beside its scores, drawn: curves, maps of all metrics, and one measure against another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ssl_models.protocols._common.score import Score
from tasks.reporting.plots import INK, figure_in_style, inline, panel_grid, title_size
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet, Measure, best, metric_name, metrics, several_layers

Curves = Mapping[str, Mapping[str, list[float]]]
MOST_PANELS = 12


def curves(found: list[tuple[Run, Curves]], hue: Mapping[str, str], name: str) -> str:
    """A panel a curve: its second column against its first, a line a run; refits dashed, at most MOST_PANELS."""
    titles = list(dict.fromkeys(title for _, content in found for title in content))[:MOST_PANELS]
    if not titles:
        return ""
    rows, columns = panel_grid(len(titles), 4)
    with figure_in_style(0.3 + 2.0 * rows) as (figure, drawn):
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes, title in zip(grid.flat, titles, strict=False):
            for run, content in found:
                if title in content:
                    _line(axes, content[title], hue[run.method], "--" if run.source else "-")
            axes.set_title(title.replace("_", " "), color=INK, fontsize=title_size(title, 26))
        for axes in grid.flat[len(titles) :]:
            axes.set_axis_off()
        figure.tight_layout(pad=0.4, w_pad=1.2, h_pad=1.2)
    return inline(drawn[0], name)


def _line(axes: Any, table: Mapping[str, list[float]], colour: str, dash: str) -> None:
    across, up = list(table)[:2]
    axes.plot(table[across], table[up], color=colour, linestyle=dash, linewidth=1.2)
    axes.set_xlabel(across.replace("_", " "), fontsize=7)
    axes.set_ylabel(up.replace("_", " "), fontsize=7)


def heat(data: DataSet, protocol: str, name: str) -> str:
    """Every metric of a protocol at the last layer, a row a run: dark where it is 1, white at 0 and below."""
    names = metrics(data, protocol)
    runs = [run for run in data.runs if run.scores(protocol)]
    if not runs or not names:
        return ""
    table = [[_last(run.scores(protocol, metric)) for metric in names] for run in runs]
    with figure_in_style(1.0 + 0.2 * len(runs)) as (figure, drawn):
        axes = figure.subplots()
        axes.imshow(table, aspect="auto", cmap="Blues", vmin=0, vmax=1.1, interpolation="nearest")
        for row, values in enumerate(table):
            for column, value in enumerate(values):
                if math.isfinite(value):
                    ink = "white" if value > 0.7 else INK
                    axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.3, color=ink)
        axes.set_xticks(
            range(len(names)), [_short(metric, names[0]) for metric in names], rotation=30, ha="right", fontsize=6.5
        )
        axes.set_yticks(range(len(runs)), [run.name for run in runs], fontsize=6.8)
        axes.grid(visible=False)
        figure.tight_layout(pad=0.4)
    return inline(drawn[0], name)


def _last(scores: list[Score]) -> float:
    return scores[-1].value if scores else math.nan


def _short(metric: str, first: str) -> str:
    """A metric's name without that of the protocol's first metric, with which it begins."""
    return metric.removeprefix(f"{first}_").replace("_", " ")


def against(data: DataSet, protocol: str, shown: Measure, hue: Mapping[str, str], name: str) -> str:
    """A protocol's first metric at the last layer against how well a run does at that layer, a point a run."""
    layered = several_layers(data, shown)
    points = []
    for run in data.runs:
        own = run.scores(protocol, metrics(data, protocol)[0]) if metrics(data, protocol) else []
        at = {score.layer: score for score in run.scores(shown.protocol, shown.metric)}
        both = [(score, at[score.layer]) for score in own if score.layer in at] if layered else []
        pairs = both or ([(own[-1], top)] if own and (top := best(run, shown)) else [])
        if pairs:
            points.append((run, *pairs[-1]))
    if len(points) < 3:
        return ""
    with figure_in_style(3.4) as (figure, drawn):
        axes = figure.subplots()
        for run, across, up in points:
            marker = "o" if run.source else "s"
            axes.plot([across.low, across.high], [up.value * shown.factor] * 2, color=hue[run.method], linewidth=0.7)
            axes.plot(across.value, up.value * shown.factor, marker, color=hue[run.method], markersize=5)
            at_point = (across.value, up.value * shown.factor)
            offset = {"xytext": (5, 4), "textcoords": "offset points"}
            axes.annotate(run.name, at_point, fontsize=6.5, color="#555555", **offset)
        axes.set_xlabel(f"{points[0][1].metric} at {points[0][1].layer or 'the output'}", fontsize=7)
        axes.set_ylabel(f"{metric_name(shown)} at {points[0][2].layer or 'the output'}{shown.unit}", fontsize=7)
        figure.tight_layout(pad=0.4)
    return inline(drawn[0], name)
