"""A study's figure: what was published and what was found here, side by side and drawn alike.

Numbers are bars, numbers at places are lines, and a correlation's two measures are points, one against the other.
Numbers of a plot count as shares where all of them lie in [-1, 1], and are then drawn as per cent; not so what was
published of a correlation, which may be the correlation itself.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tasks.reporting.plots import INK, figure_in_style, inline
from tasks.studies.numbers import Series, are_bars, colours, in_per_cent, label, of_ours, of_published, shares

CORRELATED = re.compile(r"rank correlation of ([^ @]+)\S* with ([^ @]+)\S* > ")
WIDE_SPAN = 20.0
"""From this ratio of the largest place to the smallest on, places stand on a logarithmic axis."""
CLOSEST_TICKS = 0.07  # of the axis; a place that is closer to the one before has no number
LABEL_LETTERS = 30
LETTER, LINE = 0.0105, 0.05  # what a letter and a line of a point's name take of a plot's width and height


class Shared(NamedTuple):
    """What both plots have in common: the axis of places in words, how many bars there is room for, and colours.

    Colours are those of labels, and where there is a correlation, of runs.
    """

    places: str
    bars: int
    colour: Mapping[str, str]


def figure(outcome: Mapping[str, Any], name: str) -> str:
    """Both plots as one inline SVG; name: what its ids begin with. Raises ParameterError for what is no number."""
    import matplotlib as mpl

    published = of_published(outcome["published"]["numbers"], outcome["name"])
    ours = of_ours(outcome["ours"])
    pairs = correlated(outcome["rules"], ours)
    shared = _shared(outcome, published, ours, bool(pairs))
    height = _height([published] if pairs else [published, ours], len(pairs))
    with mpl.rc_context({"text.parse_math": False}), figure_in_style(height) as (sheet, drawn):
        grid = sheet.subplots(max(1, len(pairs)), 2, squeeze=False)
        for axes in grid[1:, 0]:
            axes.set_axis_off()
        _published(grid[0, 0], published, shared, outcome["published"]["measure"], bool(pairs))
        _ours(grid[:, 1], ours, shared, len(outcome["seeds"]), pairs)
        sheet.tight_layout(pad=0.4, w_pad=3.0, h_pad=1.5)
    return inline(drawn[0], name)


def correlated(rules: Sequence[Mapping[str, Any]], ours: Series) -> list[tuple[str, str]]:
    """The labels of both measures of each rule on a correlation, where both are shown."""
    found = [match.groups() for rule in rules if (match := CORRELATED.match(rule["rule"]))]
    pairs = [(label(across), label(up)) for across, up in found]
    return [pair for pair in pairs if set(pair) <= set(ours)]


def _shared(outcome: Mapping[str, Any], published: Series, ours: Series, scattered: bool) -> Shared:
    bars = max(8 if scattered else 3, *(len(series) for series in (published, ours) if are_bars(series)), 0)
    runs = [run for series in (ours, published) for line in series.values() for run in line] if scattered else []
    return Shared(label(outcome["axis"]), bars, colours([*runs, *published, *ours]))


def _published(axes: Any, series: Series, shared: Shared, measure: str, scattered: bool) -> None:
    if scattered and len(series) == 2 and not are_bars(series):
        _scatter(axes, series, shared.colour, *series)
    else:
        _draw(axes, series, shared, measure, not scattered and shares(series.values()))
    axes.set_title("published", color=INK, fontweight="bold")


def _ours(column: Sequence[Any], series: Series, shared: Shared, seeds: int, pairs: Sequence[tuple[str, str]]) -> None:
    """pairs: of measures, each a plot of its own below the other; without one, all measures in one plot."""
    told = f"mean of {seeds} seeds, 95 % interval" if seeds > 1 else "one seed"
    for axes, (across, up) in zip(column, pairs, strict=False):
        _scatter(axes, series, shared.colour, across, up)
    if not pairs:
        _draw(column[0], series, shared, told, shares(series.values()))
    column[0].set_title(f"ours, {told}" if pairs else "ours", color=INK, fontweight="bold")


def _height(drawn: Sequence[Series], scatters: int) -> float:
    """Inches: bars take what they need, all else is as high as it reads well."""
    if scatters or not all(are_bars(series) for series in drawn):
        rows = max((len(series) + 1) // 2 for series in drawn)
        return 3.0 * max(1, scatters) + 0.15 * rows
    lines = [sum(map(_lines, series)) for series in drawn]
    return 0.75 + 0.26 * max([3, *lines])


def _lines(name: str) -> int:
    return max(1, len(textwrap.wrap(name, LABEL_LETTERS)))


def _draw(axes: Any, series: Series, shared: Shared, told: str, share: bool) -> None:
    """Bars or lines. told: the axis of values in words."""
    if not any(series.values()):
        axes.set_axis_off()
        axes.text(0, 0.5, "no numbers", transform=axes.transAxes, color="#777777")
        return
    told = textwrap.fill(f"%, {told}" if share else told, 60)
    series = in_per_cent(series) if share else series
    if are_bars(series):
        _bars(axes, series, shared, share)
        axes.set_xlabel(told, fontsize=7)
    else:
        _curves(axes, series, shared.colour)
        axes.set_ylabel(textwrap.fill(told, 40), fontsize=7)
        axes.set_xlabel(shared.places, fontsize=7)


def _bars(axes: Any, series: Series, shared: Shared, share: bool) -> None:
    """A bar a label from zero, with its interval and its number."""
    names = [name for name, line in series.items() if line]
    for at, name in enumerate(names):
        value = series[name][""]
        axes.barh(at, value.mean, height=0.62, color=shared.colour[name], alpha=0.85, linewidth=0)
        ends = [value.mean] if value.low is None or value.high is None else [value.low, value.high]
        axes.plot(ends, [at] * len(ends), color=INK, linewidth=1.1)
        place = (max(0.0, value.mean, *ends), at)
        axes.annotate(number(value.mean, share), place, (4, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(range(len(names)), [textwrap.fill(name, LABEL_LETTERS) for name in names])
    axes.set_ylim(max(shared.bars, len(names)) - 0.5, -0.5)
    axes.margins(x=0.16)
    axes.axvline(0, color="#777777", linewidth=0.7)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)


def number(value: float, share: bool) -> str:
    """ "46.0" of a share, "58.2" and "16,000" of what was published."""
    return f"{value:.1f}" if share else f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _curves(axes: Any, series: Series, colour: Mapping[str, str]) -> None:
    """A line a label with its interval as a band; a number without a place goes across, dashed."""
    at = _places(axes, list(dict.fromkeys(place for line in series.values() for place in line if place)))
    for name, line in series.items():
        kept = sorted((at[place], value) for place, value in line.items() if place)
        if kept:
            across = [place for place, _ in kept]
            low = [value.mean if value.low is None else value.low for _, value in kept]
            high = [value.mean if value.high is None else value.high for _, value in kept]
            axes.fill_between(across, low, high, color=colour[name], alpha=0.15, linewidth=0)
            means = [value.mean for _, value in kept]
            axes.plot(across, means, "o-", color=colour[name], markersize=3.5, label=name.lstrip("_"))
        if "" in line:
            own = line[""]
            if own.low is not None and own.high is not None:
                axes.axhspan(own.low, own.high, color=colour[name], alpha=0.1, linewidth=0)
            told = None if kept else name.lstrip("_")
            axes.axhline(own.mean, color=colour[name], linestyle=(0, (4, 2)), linewidth=1.2, label=told)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.01, -0.17), ncols=3, fontsize=7, borderaxespad=0)


def _places(axes: Any, names: list[str]) -> dict[str, float]:
    """Where places stand: numbers to their scale, or its logarithm where they span much; words one after another."""
    try:
        at = {name: float(name) for name in names}
    except ValueError:
        at = {}
    if not at or not all(map(math.isfinite, at.values())):
        slanted = {"rotation": 25, "ha": "right"} if sum(map(len, names)) > 50 else {}
        axes.set_xticks(range(len(names)), [label(name) for name in names], **slanted)
        return {name: float(place) for place, name in enumerate(names)}
    if min(at.values()) > 0 and max(at.values()) / min(at.values()) >= WIDE_SPAN:
        axes.set_xscale("log")
    shown = _apart({n: math.log(value) if axes.get_xscale() == "log" else value for n, value in at.items()})
    axes.set_xticks([at[name] for name in shown], shown)
    axes.minorticks_off()
    return at


def _apart(at: Mapping[str, float]) -> list[str]:
    """The names that can be written without one touching the next."""
    names = sorted(at, key=at.__getitem__)
    kept = names[:1]
    for name in names[1:]:
        if at[name] - at[kept[-1]] >= CLOSEST_TICKS * (at[names[-1]] - at[names[0]]):
            kept.append(name)
    return kept


def _scatter(axes: Any, series: Series, colour: Mapping[str, str], across: str, up: str) -> None:
    """A point a run: one measure against another, with the intervals of both."""
    names = [name for name in series[across] if name in series[up]]
    sides, percent = [], []
    for side in (across, up):
        line: Series = {side: {name: series[side][name] for name in names}}
        percent.append(shares(line.values()))
        sides.append((in_per_cent(line) if percent[-1] else line)[side])
    for name in names:
        x, y = (side[name] for side in sides)
        axes.plot(x.mean, y.mean, "o", color=colour[name], markersize=5)
        axes.plot([x.mean if end is None else end for end in x[1:]], [y.mean] * 2, color=colour[name], linewidth=0.8)
        axes.plot([x.mean] * 2, [y.mean if end is None else end for end in y[1:]], color=colour[name], linewidth=0.8)
    axes.margins(0.12)
    axes.grid(axis="x", visible=True)
    axes.set_xlabel(textwrap.fill(label(across) + (", %" if percent[0] else ""), 60), fontsize=7)
    axes.set_ylabel(textwrap.fill(label(up) + (", %" if percent[1] else ""), 40), fontsize=7)
    _name(axes, {name: (sides[0][name].mean, sides[1][name].mean) for name in names})


def _name(axes: Any, points: Mapping[str, tuple[float, float]]) -> None:
    """Writes each point's name at that corner of it where it covers least, clear of the intervals."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    at = {n: ((x - left) / (right - left), (y - low) / (high - low)) for n, (x, y) in points.items()}
    taken = [(x - 0.01, y - 0.02, x + 0.01, y + 0.02) for x, y in at.values()]
    for name, (x, y) in at.items():
        wide, line = LETTER * len(name), LINE / 2
        boxes = {}
        for across, up in ((1, 1), (-1, 1), (1, -1), (-1, -1)):
            start, middle = (x + 0.01 if across > 0 else x - 0.01 - wide), y + 0.04 * up
            boxes[across, up] = (start, middle - line, start + wide, middle + line)
        corner = min(boxes, key=lambda c: sum(_covered(boxes[c], other) for other in taken) + 9 * _outside(boxes[c]))
        taken.append(boxes[corner])
        offset, side = (4 * corner[0], 6 * corner[1]), "left" if corner[0] > 0 else "right"
        axes.annotate(
            *(label(name), points[name], offset), textcoords="offset points", ha=side, va="center", fontsize=6.5
        )


def _covered(one: Sequence[float], other: Sequence[float]) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    up = min(one[3], other[3]) - max(one[1], other[1])
    return across * up if across > 0 and up > 0 else 0.0


def _outside(box: Sequence[float]) -> float:
    return sum(max(0.0, -end) for end in box[:2]) + sum(max(0.0, end - 1) for end in box[2:])
