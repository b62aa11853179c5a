"""The figure of rules over encoders: each rank correlation with its interval, and below, the ranks themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ssl_models.figures import PALETTE
from tasks.reporting.plots import INK, figure_in_style, inline
from tasks.studies.measures import oriented
from tasks.studies.numbers import label

CHANCE = "#E4E4E4"
PANEL = 1.25
"""Inches of a panel of ranks, square."""
COLUMNS = 8


def figure(outcome: Mapping[str, Any], name: str) -> str:
    """Both as one inline SVG; name: what its ids begin with."""
    judged = [rule["association"] for rule in outcome["rules"] if "association" in rule]
    places = list(dict.fromkeys(one["place"] for one in judged))
    pairs = {place: _first_pairs(judged, place) for place in places}
    rows = {place: -(-len(own) // COLUMNS) for place, own in pairs.items()}
    high = 1.1 + 0.24 * max(len({one["score"] for one in judged}), 3)
    with figure_in_style(high + (PANEL + 0.3) * sum(rows.values())) as (sheet, drawn):
        top, *below = sheet.subfigures(
            1 + len(places), 1, height_ratios=[high, *((PANEL + 0.3) * rows[place] for place in places)], squeeze=False
        )[:, 0]
        grid = top.subplots(1, len(places), sharex=True, squeeze=False)[0]
        for number, (axes, place) in enumerate(zip(grid, places, strict=True)):
            _intervals(axes, [one for one in judged if one["place"] == place], named=number == 0)
            axes.set_title(label(place), color=INK, fontweight="bold")
        above = {rule["association"]["rho"] - rule["difference"] for rule in outcome["rules"] if _is_number(rule)}
        for axes in grid:
            for value in above:
                axes.axvline(value, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        grid[0].legend(loc="upper left", bbox_to_anchor=(0, -0.42 / (high - 1.0)), ncols=4, fontsize=7, borderaxespad=0)
        top.subplots_adjust(left=0.1, right=0.99, top=1 - 0.25 / high, bottom=0.75 / high, wspace=0.06)
        for part, place in zip(below, places, strict=True):
            _ranks(part, outcome, pairs[place], rows[place])
    return inline(drawn[0], name)


def _is_number(rule: Mapping[str, Any]) -> bool:
    return "association" in rule and rule["difference"] is not None


def _first_pairs(judged: Sequence[Mapping[str, Any]], place: str) -> list[Mapping[str, Any]]:
    """Of each score, the association with what it is compared with first."""
    found: dict[str, Mapping[str, Any]] = {}
    for one in judged:
        if one["place"] == place:
            found.setdefault(one["score"], one)
    return list(found.values())


def _intervals(axes: Any, judged: Sequence[Mapping[str, Any]], named: bool) -> None:
    """A row a score, in it a mark for each of what it is compared with; grey, what chance gives in 95 of 100."""
    scores = list(dict.fromkeys(one["score"] for one in judged))
    others = list(dict.fromkeys(one["with"] for one in judged))
    step = 0.7 / len(others)
    for one in (one for one in judged if one["rho"] is not None):
        colour = PALETTE[others.index(one["with"])]
        at = scores.index(one["score"]) - 0.35 + step * (others.index(one["with"]) + 0.5)
        if one["chance"][0] is not None:
            low, high = one["chance"]
            axes.barh(at, high - low, left=low, height=step, color=CHANCE, linewidth=0)
        if one["low"] is not None:
            axes.plot([one["low"], one["high"]], [at, at], color=colour, linewidth=1.6)
        axes.plot(one["rho"], at, "o", color=colour, markersize=4.5)
    for number, other in enumerate(others):
        axes.plot([], [], "o-", color=PALETTE[number], markersize=4.5, label=f"with {label(other)}")
    axes.barh(math.nan, 1, color=CHANCE, label="by chance alone, 95 %")
    axes.set_yticks(range(len(scores)), [label(score) for score in scores] if named else [])
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_xlim(-1, 1)
    axes.set_xticks([-1, -0.5, 0, 0.5] if named else [-1, -0.5, 0, 0.5, 1])
    axes.axvline(0, color="#777777", linewidth=0.7)
    axes.grid(axis="x", visible=True)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("rank correlation over encoders, 95 % interval", fontsize=7)


def _ranks(part: Any, outcome: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], rows: int) -> None:
    """A panel a score: the encoders by their rank in both measures, pretrainings as squares and refits as discs."""
    grid = part.subplots(rows, max(len(pairs), 1) if rows == 1 else COLUMNS, squeeze=False)
    for axes, one in zip(grid.flat, pairs, strict=False):
        tables = [outcome["encoders"][place] for place in one["places"]]
        runs = [run for run in tables[0] if run not in (*one["without"], *one["left_out"])]
        across, up = (
            _order([table[run][name] for run in runs], outcome["better"][name])
            for table, name in zip(tables, (one["score"], one["with"]), strict=True)
        )
        for is_refit, marker in ((False, "s"), (True, "o")):
            own = [place for place, run in enumerate(runs) if (outcome["families"][run] != run) == is_refit]
            colour = PALETTE[int(is_refit)]
            axes.plot([across[i] for i in own], [up[i] for i in own], marker, color=colour, markersize=2.6, alpha=0.8)
        rho = "" if one["rho"] is None else f" {one['rho']:+.2f}"
        axes.set_title(f"{label(one['score'])}{rho}".replace("-", "−"), color=INK, fontsize=7)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_box_aspect(1)
    for axes in grid.flat[len(pairs) :]:
        axes.set_axis_off()
    place = f"{label(pairs[0]['place'])}, " if pairs[0]["place"] else ""
    grid[0, 0].set_ylabel(f"{place}{label(pairs[0]['with'])}", fontsize=7)
    part.subplots_adjust(left=0.03, right=0.99, top=0.85, bottom=0.04, wspace=0.12)


def _order(values: Sequence[float], better: str | float) -> list[float]:
    """Mean ranks, the best last."""
    from scipy.stats import rankdata

    return list(rankdata([oriented(value, better) for value in values]))
