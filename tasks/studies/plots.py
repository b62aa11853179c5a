"""A study's figure: what was published and what was found here, side by side and drawn alike.

Numbers are bars, numbers at places are lines. Numbers of a plot count as shares where all of them lie in [-1, 1], and
are then drawn as per cent. What rules over encoders show is drawn by association_plots.py.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tasks.reporting.plots import INK, figure_in_style, inline
from tasks.studies.numbers import Series, are_bars, colours, in_per_cent, label, of_ours, of_published, shares

WIDE_SPAN = 20.0
"""From this ratio of the largest place to the smallest on, places stand on a logarithmic axis."""
CLOSEST_TICKS = 0.07  # of the axis; a place that is closer to the one before has no number
LABEL_LETTERS = 30


class Shared(NamedTuple):
    """What both plots have in common: the axis of places in words, how many bars there is room for, labels' colours."""

    places: str
    bars: int
    colour: Mapping[str, str]


def figure(outcome: Mapping[str, Any], name: str) -> str:
    """Both plots as one inline SVG; name: what its ids begin with. Raises ParameterError for what is no number."""
    import matplotlib as mpl

    published = of_published(outcome["published"]["numbers"], outcome["name"])
    ours = of_ours(outcome["ours"])
    shared = _shared(outcome, published, ours)
    seeds = len(outcome["seeds"])
    told = f"mean of {seeds} seeds, 95 % interval" if seeds > 1 else "one seed"
    height = _height([published, ours])
    with mpl.rc_context({"text.parse_math": False}), figure_in_style(height) as (sheet, drawn):
        left, right = sheet.subplots(1, 2)
        _draw(left, published, shared, outcome["published"]["measure"])
        _draw(right, ours, shared, told)
        for axes, title in ((left, "published"), (right, "ours")):
            axes.set_title(title, color=INK, fontweight="bold")
        sheet.tight_layout(pad=0.4, w_pad=3.0, h_pad=1.5)
    return inline(drawn[0], name)


def _shared(outcome: Mapping[str, Any], published: Series, ours: Series) -> Shared:
    bars = max(3, *(len(series) for series in (published, ours) if are_bars(series)), 0)
    return Shared(label(outcome["axis"]), bars, colours([*published, *ours]))


def _height(drawn: Sequence[Series]) -> float:
    """Inches: bars take what they need, all else is as high as it reads well."""
    if not all(are_bars(series) for series in drawn):
        return 3.0 + 0.15 * max((len(series) + 1) // 2 for series in drawn)
    lines = [sum(map(_lines, series)) for series in drawn]
    return 0.75 + 0.26 * max([3, *lines])


def _lines(name: str) -> int:
    return max(1, len(textwrap.wrap(name, LABEL_LETTERS)))


def _draw(axes: Any, series: Series, shared: Shared, told: str) -> None:
    """Bars or lines. told: the axis of values in words."""
    if not any(series.values()):
        axes.set_axis_off()
        axes.text(0, 0.5, "no numbers", transform=axes.transAxes, color="#777777")
        return
    share = shares(series.values())
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
