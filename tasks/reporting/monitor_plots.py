"""What was measured of representations while they trained: a panel a measure, a line a run."""

from __future__ import annotations

import math
from typing import Any

from ssl_models.collapse import DEVIATION, PROBE, RANKME
from tasks.reporting.plots import DASHES, INK, figure_in_style, inline, series
from tasks.reporting.runs import Run

PANELS = {PROBE: ("probe accuracy, %", 100), RANKME: ("RankMe", 1), DEVIATION: ("deviation", 1)}
"""What is measured -> its title, and what its values are multiplied by."""
ACROSS = 6
"""Names in a line of the key."""


def both(runs: list[Run], hue: dict[str, str], name: str) -> list[str]:
    """The figure of the pretrained runs, and that of the refits; empty where none was measured."""
    apart = ([run for run in runs if not run.source], [run for run in runs if run.source])
    return [monitored(some, hue, f"{name}-monitored-{place}") for place, some in enumerate(apart)]


def unmonitored(runs: list[Run]) -> str:
    """Which trainings were not measured though it was asked for, and why; empty where there are none."""
    reasons: dict[str, list[str]] = {}
    for run in runs:
        if why := run.training.get("unmonitored"):
            reasons.setdefault(str(why), []).append(run.name)
    return " ".join(f"Not measured while they trained, as {why}: {', '.join(of)}." for why, of in reasons.items())


def monitored(runs: list[Run], hue: dict[str, str], name: str) -> str:
    """Each measure against the epoch; runs of one method have its hue, and dashes tell them apart."""
    runs = [run for run in runs if any(series(run, term)[0] for term in PANELS)]
    panels = [term for term in PANELS if any(series(run, term)[0] for run in runs)]
    if not panels:
        return ""
    below = 0.1 + 0.16 * math.ceil(len(runs) / ACROSS)
    with figure_in_style(2.1 + below) as (figure, drawn):
        grid = figure.subplots(1, max(3, len(panels)), squeeze=False)[0]
        for axes, term in zip(grid, panels, strict=False):
            _lines(axes, term, runs, hue)
        for axes in grid[len(panels) :]:
            axes.set_axis_off()
        handles, names = grid[0].get_legend_handles_labels()
        figure.tight_layout(pad=0.4, w_pad=1.6, rect=(0, below / (2.1 + below), 1, 1))
        figure.legend(handles, names, loc="lower center", ncols=ACROSS, fontsize=7, handlelength=2.2)
    return inline(drawn[0], name)


def _lines(axes: Any, term: str, runs: list[Run], hue: dict[str, str]) -> None:
    """One panel. A run that was measured once is a dot."""
    from matplotlib.ticker import MaxNLocator

    title, factor = PANELS[term]
    drawn: dict[str, int] = {}
    for run in runs:
        at, values = series(run, term)
        dash = DASHES[drawn.get(run.method, 0) % len(DASHES)]
        drawn[run.method] = drawn.get(run.method, 0) + 1
        values = [factor * value for value in values]
        marker = "o" if len(at) == 1 else ""
        axes.plot(at, values, color=hue[run.method], linestyle=dash, marker=marker, markersize=3, label=run.name)
    axes.set_title(title, color=INK)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
