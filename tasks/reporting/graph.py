"""The pipeline's DAG as inline SVG, drawn from the parameters: a column a stage, a lane a run."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from tasks.settings.refits import WEIGHTS, continues

COLUMNS = ("prepare", "pretrain", "extract", "cluster", "clusterfit", "extract", "transfer", "atlas", "report")
LEFT = (0, 108, 252, 360, 478, 648, 756, 932, 1010)
WIDTH = (84, 122, 86, 96, 148, 86, 148, 50, 80)
LANE, BOX, HEAD = 25, 19, 30
LINE = "#B5B5B5"


def draw(parameters: Mapping[str, Any], hue: Mapping[str, str]) -> str:
    """hue: run name -> colour. Every lane ends in one transfer box that names its protocols."""
    runs = _lanes(parameters)
    height = HEAD + LANE * len(runs) + 6
    middle = HEAD + LANE * len(runs) / 2 - LANE / 2
    parts = [_text(LEFT[i] + WIDTH[i] / 2, 12, name, "#777777", 10.5) for i, name in enumerate(COLUMNS)]
    protocols = " · ".join(parameters.get("transfer", {})) or "no protocol"
    lane_of = {name: lane for lane, (name, _) in enumerate(runs)}
    wires, boxes = [], []
    for lane, (name, source) in enumerate(runs):
        y, colour = HEAD + LANE * lane, hue.get(name, "#555555")
        if source is None:
            wires += [_bus(LEFT[0] + WIDTH[0], middle, LEFT[1], y), _wire(1, 2, y), _wire(2, 6, y)]
            boxes += [_box(1, y, name, colour, full=True), _box(2, y, "features", colour)]
        else:
            column = 2 if runs[lane_of[source]][1] is None else 5
            start = HEAD + LANE * lane_of[source]
            wires += [_drop(column, start, y), _wire(3, 4, y), _wire(4, 5, y), _wire(5, 6, y)]
            boxes += [_box(3, y, _handed_over(parameters["clusterfit"][name] or {}), colour)]
            boxes += [_box(4, y, name, colour, full=True), _box(5, y, "features", colour)]
        boxes.append(_box(6, y, protocols, colour))
        wires.append(_bus(LEFT[6] + WIDTH[6], y, LEFT[7], middle))
    wires.append(_wire(7, 8, middle))
    boxes += [_box(0, middle, str(_data(parameters)), "#444444", full=True)]
    boxes += [_box(7, middle, "maps", "#444444"), _box(8, middle, "this page", "#444444")]
    total = LEFT[-1] + WIDTH[-1] + 2
    return (
        f'<svg role="img" aria-label="The pipeline as a graph" viewBox="-1 0 {total} {height}">'
        f"{''.join(wires)}{''.join(boxes)}{''.join(parts)}</svg>"
    )


def _handed_over(block: Mapping[str, Any]) -> str:
    """What a refit gets from its source."""
    clusters = block.get("clusters")
    return f"K = {clusters}" if clusters else WEIGHTS if continues(block) else "clusters"


def _lanes(parameters: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """(run, source) from top to bottom: every run is followed by the refits of it, theirs included."""
    refits = parameters.get("clusterfit") or {}
    found: list[tuple[str, str | None]] = []

    def follow(name: str) -> None:
        for refit, block in refits.items():
            if block["source"] == name:
                found.append((refit, name))
                follow(refit)

    for name in parameters["pretrain"]:
        found.append((name, None))
        follow(name)
    return found


def _data(parameters: Mapping[str, Any]) -> str:
    data = parameters["data"]
    if isinstance(data, Mapping):
        return str(data["name"])
    names = [data] if isinstance(data, str) else list(data)
    return str(names[0]) if len(names) == 1 else f"{len(names)} data sets"


def _box(column: int, y: float, text: str, colour: str, full: bool = False) -> str:
    """A stage; those that train or prepare are filled."""
    limit = int(WIDTH[column] / 6.0)
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    fill, ink = (colour, "#FFFFFF") if full else ("#FFFFFF", "#333333")
    return (
        f"<g><title>{escape(text)}</title>"
        f'<rect x="{LEFT[column]}" y="{y - BOX / 2:g}" width="{WIDTH[column]}" height="{BOX}" rx="3" fill="{fill}" '
        f'stroke="{colour}"/>{_text(LEFT[column] + WIDTH[column] / 2, y + 3.7, shown, ink, 10.5)}</g>'
    )


def _text(x: float, y: float, text: str, colour: str, size: float) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="{size:g}" fill="{colour}">{escape(text)}</text>'


def _path(steps: str) -> str:
    return f'<path d="{steps}" fill="none" stroke="{LINE}" stroke-width="1.1"/>'


def _wire(start: int, end: int, y: float) -> str:
    """A straight line between two columns of one lane; boxes are drawn over it."""
    return _path(f"M{LEFT[start] + WIDTH[start]} {y:g}H{LEFT[end]}")


def _bus(x: float, y: float, to_x: float, to_y: float) -> str:
    """Across, along a common vertical, across."""
    return _path(f"M{x:g} {y:g}H{(x + to_x) / 2:g}V{to_y:g}H{to_x:g}")


def _drop(column: int, start: float, y: float) -> str:
    """From the features of a lane down to the clusters of another."""
    x = LEFT[column] + WIDTH[column]
    if column == 2:
        return _path(f"M{x} {start:g}h12V{y:g}H{LEFT[3]}")
    # A refit of a refit starts from features that lie to the right of its own clusters: around, between the lanes.
    turn = y - LANE / 2
    return _path(f"M{x} {start:g}h10V{turn:g}H{LEFT[3] - 10}V{y:g}H{LEFT[3]}")
