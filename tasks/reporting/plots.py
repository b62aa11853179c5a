"""The report's figures as inline SVG: matplotlib for curves and bars, one hue a method everywhere, no chart junk."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ssl_models.figures import PALETTE
from ssl_models.protocols._common.score import Score
from tasks.reporting.runs import Run
from tasks.reporting.tables import (
    DataSet,
    Gain,
    Measure,
    axes,
    best,
    gains,
    layers_of,
    lines,
    metric_name,
    several_layers,
)

SUPERVISED, UNTRAINED, INK = "#444444", "#A0A0A0", "#222222"
TITLE_SIZE = 8.5
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "covey",
    "font.size": 8,
    "axes.titlesize": TITLE_SIZE,
    "axes.titlelocation": "left",
    "axes.titlepad": 4,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.6,
    "axes.labelcolor": "#555555",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#EAEAEA",
    "grid.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
DASHES: list[Any] = ["-", (0, (4, 1.6)), (0, (1.5, 1.2)), "-."]
LEVEL = 8  # the most names below a panel that are not turned upright
WIDTH = 10.6  # inches at 72 points: the page's text width

_Panel = tuple[Run, tuple[str, ...], list[tuple[Run, Any]]]


def hues(runs: list[Run]) -> dict[str, str]:
    """A colour for each method, in the order of the parameters; controls are grey."""
    found = {"supervised": SUPERVISED, **{run.method: UNTRAINED for run in runs if run.role == "untrained"}}
    methods = [method for method in dict.fromkeys(run.method for run in runs) if method not in found]
    found.update((method, PALETTE[place % len(PALETTE)]) for place, method in enumerate(methods))
    return found


@contextmanager
def figure_in_style(height: float) -> Iterator[tuple[Any, list[str]]]:
    """A figure in the report's style; what is drawn on it is left in the list as SVG text."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawn: list[str] = []
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        yield figure, drawn
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        drawn.append(buffer.getvalue())


def inline(svg: str, name: str) -> str:
    """An SVG file as an element of a page: no prologue, addresses or fonts of its own, and ids that are its own."""
    name = re.sub(r"\W+", "-", name)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'<svg width="[^"]*" height="[^"]*"', '<svg role="img"', svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    svg = re.sub(r"font: (\w+) ([\d.]+)px [^;\"]*", r"font-weight: \1; font-size: \2px", svg)
    svg = re.sub(r' id="', f' id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    return re.sub(r' href="#', f' href="#{name}-', svg)


def panel_grid(panels: int, most: int) -> tuple[int, int]:
    """Rows and columns of small multiples: rows as even as can be, and never so few columns that panels get large."""
    rows = max(1, math.ceil(panels / most))
    return rows, max(3, math.ceil(panels / rows))


def by_layer(data: DataSet, shown: Measure, hue: dict[str, str], name: str) -> str:
    """Score against layer, one panel a pretrained run: N_pre solid, its refits dashed, the controls grey behind.

    Runs whose encoders have other layers stand in a panel of their own, over those layers.
    """
    found = axes(data, shown)
    panels = list(_panels(data, shown, found))
    rows, columns = panel_grid(len(panels), 5)
    alike = len(found) == 1
    with figure_in_style(0.45 + 1.75 * rows) as (figure, drawn):
        grid = figure.subplots(rows, columns, sharex=alike, sharey=True, squeeze=False)
        for panel, (run, names, family) in zip(grid.flat, panels, strict=False):
            for control in _controls(data, shown, names):
                _curve(panel, control.scores(shown.protocol, shown.metric), names, shown, hue[control.method], "-", 1.1)
            for other, dash in family:
                _curve(panel, other.scores(shown.protocol, shown.metric), names, shown, hue[run.method], dash, 1.7)
            title = family[0][0].name
            panel.set_title(title, color=hue[run.method], fontweight="bold", fontsize=title_size(title, 22))
            panel.set_xticks(range(len(names)), names, fontsize=6.3, rotation=90 if len(names) > LEVEL else 0)
        for panel in grid.flat[len(panels) :]:
            panel.set_axis_off()
        for panel in grid[:, 0]:
            panel.set_ylabel(f"{metric_name(shown)}{', %' if shown.share else ''}", fontsize=7)
        figure.tight_layout(pad=0.4, w_pad=1.0, h_pad=1.2)
    return inline(drawn[0], name)


def _panels(data: DataSet, shown: Measure, found: list[tuple[str, ...]]) -> Iterator[_Panel]:
    """Of each pretrained run and all that learnt from it: the run, layers, and those that have them, with a dash."""
    for run in data.runs:
        if not run.ranked or run.source is not None:
            continue
        dashed = list(zip([run, *data.descendants(run)], DASHES * 3, strict=False))
        for names in sorted(found, key=lambda names: names != layers_of(run, shown)):
            family = [(other, dash) for other, dash in dashed if layers_of(other, shown) == names]
            if any(best(other, shown) for other, _ in family):
                yield run, names, family


def _controls(data: DataSet, shown: Measure, names: tuple[str, ...]) -> list[Run]:
    """The untrained and the supervised run with these layers that did best: the floor and the ceiling."""
    found: dict[str, tuple[float, Run]] = {}
    for run in data.runs:
        score = best(run, shown)
        if not run.ranked and run.source is None and score is not None and layers_of(run, shown) == names:
            found[run.role] = max(found.get(run.role, (-math.inf, run)), (score.value, run), key=lambda pair: pair[0])
    return [run for _, run in found.values()]


def title_size(name: str, room: int) -> float:
    """Points of a panel's title, smaller for a name of more than `room` letters, so that it stays in its panel."""
    return TITLE_SIZE * min(1.0, room / max(1, len(name)))


def _curve(
    axes: Any, scores: list[Score], names: tuple[str, ...], shown: Measure, colour: str, dash: Any, width: float
) -> None:
    """One run's line over the layers with its interval as a band."""
    at = [names.index(score.layer) for score in scores]
    value, low, high = ([getattr(s, side) * shown.factor for s in scores] for side in ("value", "low", "high"))
    axes.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(at, value, color=colour, linestyle=dash, linewidth=width)


def added(data: DataSet, shown: list[Measure], hue: dict[str, str], name: str) -> str:
    """What each refit added, a panel for the best layer, the last layer and every protocol without layers."""
    panels: list[tuple[str, Measure, list[Gain]]] = []
    for measure in shown:
        title = metric_name(measure)
        if several_layers(data, measure):
            panels.append((f"{title}, best layer", measure, gains(data, measure)))
            panels.append((f"{title}, last layer", measure, gains(data, measure, at_last=True)))
        else:
            panels.append((title, measure, gains(data, measure)))
    panels = [panel for panel in panels if panel[2]][:4]
    if not panels:
        return ""
    scored = {gain.refit.name for *_, found in panels for gain in found}
    labels = [refit.name for _, refit, _ in lines(data) if refit and refit.name in scored]
    reach = max(_reach(found, measure) for _, measure, found in panels)
    with figure_in_style(0.75 + 0.235 * len(labels)) as (figure, drawn):
        grid = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, (title, measure, found) in zip(grid, panels, strict=True):
            _bars(axes, found, measure, labels, hue, reach)
            axes.set_title(title, color=INK)
            axes.set_xlabel("points added" if measure.share else "added", fontsize=7)
        grid[0].set_yticks(range(len(labels)), labels)
        grid[0].set_ylim(len(labels) - 0.5, -0.5)
        figure.tight_layout(pad=0.4, w_pad=2.0)
    return inline(drawn[0], name)


def _reach(found: list[Gain], measure: Measure) -> float:
    """How far from zero the bars and their intervals go."""
    ends = [abs(end) * measure.factor for gain in found for end in (gain.value, gain.low, gain.high)]
    return max((end for end in ends if math.isfinite(end)), default=0.0) or 1.0


def _bars(axes: Any, found: list[Gain], measure: Measure, labels: list[str], hue: dict[str, str], reach: float) -> None:
    """Bars from zero with their intervals; those whose interval holds zero are pale."""
    for gain in found:
        at, colour = labels.index(gain.refit.name), hue[gain.source.method]
        value, low, high = (number * measure.factor for number in (gain.value, gain.low, gain.high))
        axes.barh(at, value, height=0.62, color=colour, alpha=0.35 if gain.verdict == "within" else 0.9, linewidth=0)
        axes.plot([low, high], [at, at], color=INK, linewidth=0.9)
        text = measure.number(gain.value, sign=True)
        axes.text(reach * 1.42, at, text, va="center", ha="right", fontsize=7, color=INK)
    axes.axvline(0, color="#777777", linewidth=0.7)
    axes.set_xlim(-reach * 1.05, reach * 1.45)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def training(runs: list[Run], hue: dict[str, str], name: str) -> str:
    """Loss against epoch, one panel a run, chance as a dashed line; below it the gradient norm."""
    runs = [run for run in runs if run.curve]
    if not runs:
        return ""
    rows, columns = panel_grid(len(runs), 6)
    with figure_in_style(2.1 * rows) as (figure, drawn):
        outer = figure.add_gridspec(
            rows,
            columns,
            wspace=0.3,
            hspace=0.4,
            left=0.035,
            right=0.995,
            top=1 - 0.35 / (2.1 * rows),
            bottom=0.1 / rows,
        )
        for place, run in zip(outer, runs, strict=False):
            above, below = place.subgridspec(2, 1, height_ratios=[4, 1], hspace=0.14).subplots(sharex=True)
            _loss(above, run, hue[run.method])
            _gradient(below, run)
    return inline(drawn[0], name)


def series(run: Run, term: str) -> tuple[list[float], list[float]]:
    """A logged term against the epoch, its empty and infinite entries left out; by step where epochs repeat."""
    epochs = [row.get("epoch", math.nan) for row in run.curve]
    axis = "epoch" if len(set(epochs)) == len(epochs) else "step"
    rows = [(row.get(axis, math.nan), row.get(term, math.nan)) for row in run.curve]
    kept = [(at, value) for at, value in rows if math.isfinite(at) and math.isfinite(value)]
    return [at for at, _ in kept], [value for _, value in kept]


def _loss(axes: Any, run: Run, colour: str) -> None:
    at, loss = series(run, "loss")
    axes.plot(at, loss, color=colour, linestyle="--" if run.source else "-", linewidth=1.4)
    _, chances = series(run, "chance")
    chance = chances[-1] if chances else run.training.get("chance")
    if chance is not None:
        axes.axhline(chance, color="#777777", linewidth=0.9, linestyle=(0, (3, 2)))
    # A first step far above all others would flatten the rest of the curve.
    usual = sorted(loss)[int((0.95 if len(loss) >= 20 else 1) * (len(loss) - 1))] if loss else 1.0
    top, bottom = max(usual, chance or usual), min([*loss, chance or usual])
    axes.set_ylim(bottom - 0.08 * (top - bottom or 1), top + 0.12 * (top - bottom or 1))
    axes.set_title(run.name, color=colour, fontweight="bold", pad=12, fontsize=title_size(run.name, 19))
    text = f"{loss[-1]:.3g} at end" if loss else "no loss logged"
    text += "" if chance is None else f", chance {chance:.3g}"
    axes.text(0, 1.03, text, transform=axes.transAxes, va="bottom", fontsize=6.5, color="#777777")
    axes.tick_params(labelbottom=False)


def _gradient(axes: Any, run: Run) -> None:
    from matplotlib.ticker import FixedLocator, MaxNLocator

    at, norm = series(run, "gradient_norm")
    axes.plot(at, norm, color="#8C8C8C", linewidth=0.8)
    axes.grid(visible=False)
    axes.set_ylim(0, max(norm, default=1.0) * 1.9 or 1.0)
    top = max(norm, default=1.0)
    axes.yaxis.set_major_locator(FixedLocator([0, float(f"{top:.1g}") if top > 0 else 1.0]))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.text(0.99, 1, "gradient norm", transform=axes.transAxes, ha="right", va="top", fontsize=5.5, color="#999999")
