"""The report's section of each protocol: how to read it, its notes and curves, and the pictures and tables it left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tasks.process.files import read_json
from tasks.project.paths import CURVES, TABLES, Places
from tasks.project.project import Project
from tasks.reporting import label_free_study, protocol_plots, tables
from tasks.reporting.imprint import lacking
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet, best


def pictures(project: Project, data: DataSet) -> list[tuple[str, Run, Path]]:
    """The pictures that the report shows: (protocol, run, path) of the runs in `chosen`."""
    store = Places(project.root, data.name)
    return [
        (protocol, run, path)
        for protocol in data.protocols
        for run in chosen(data, protocol)
        if not lacking(run.protocols.get(protocol, {}))[0]
        for path in sorted(store.findings(run.name, protocol).glob("*.png"))
    ]


def of_trainings(project: Project, data: DataSet) -> list[tuple[Run, Path]]:
    """The pictures that trainings have left, of all runs whose numbers are shown."""
    store = Places(project.root, data.name)
    there = [run for run in data.runs if not lacking(run.training)[0]]
    return [(run, path) for run in there for path in sorted(store.shown(run.name).glob("*.png"))]


def chosen(data: DataSet, protocol: str) -> list[Run]:
    """Whose pictures are shown: the best run's, a refit of it, and the two controls'; or of all that are no refits."""
    if tables.stated(data, protocol).every:
        return [run for run in data.runs if run.source is None]
    shown = next((m for m in tables.headline_measures(data) if m.protocol == protocol), None)
    shown = shown or next(iter(tables.headline_measures(data)), None)
    scored = [run for run in data.runs if run.ranked and run.protocols.get(protocol, {}).get("scores")]
    if shown:
        scored = sorted(scored, key=lambda run: -(top.value if (top := best(run, shown)) else -1.0))
    family = [run for run in scored[:1] for run in (run, *data.refits(run)[:1])]
    controls = [run for run in data.runs if not run.ranked and run.source is None]
    return [*family, *controls]


def sections(
    project: Project, data: DataSet, hue: dict[str, str], embed: Callable[[Path], Any]
) -> list[dict[str, Any]]:
    """What the template shows of each protocol. embed: a picture's path as the page shows it."""
    found = []
    drawn = pictures(project, data)
    shown = next(iter(tables.headline_measures(data)), None)
    for protocol in data.protocols:
        stated = tables.stated(data, protocol)
        name = f"{data.name}-{protocol}"
        plots = [(_curves(project, data, protocol, hue, name), stated.curves)]
        if stated.map:
            plots.append((protocol_plots.heat(data, protocol, f"{name}-map"), stated.map))
        if stated.against and shown:
            plots.append((protocol_plots.against(data, protocol, shown, hue, f"{name}-against"), stated.against))
        own = [(run, path.stem, embed(path)) for of, run, path in drawn if of == protocol]
        other = other_data(data, protocol)
        plots = [(svg, caption) for svg, caption in plots if svg]
        written = list(_tables(project, data, protocol))
        quoted = label_free_study.quoted(project) if protocol == label_free_study.STUDY else []
        noted = notes(data, protocol)
        if plots or own or other or written or noted or quoted:
            told = {"name": tables.label(protocol), "reading": stated.reading, "data": other, "notes": noted}
            found.append({**told, "plots": plots, "pictures": own, "tables": written, "quoted": quoted})
    return found


def notes(data: DataSet, protocol: str) -> list[tuple[Run, str]]:
    """What the protocol notes on each run, and on which."""
    return [(run, note) for run in data.runs for note in run.protocols.get(protocol, {}).get("notes", ())]


def _tables(project: Project, data: DataSet, protocol: str) -> Iterator[tuple[Run, str, list[str], list[list[Any]]]]:
    """The tables that the protocol left for the runs in `chosen`: the run, what it is called, its heads and rows."""
    store = Places(project.root, data.name)
    for run in chosen(data, protocol):
        path = store.findings(run.name, protocol) / TABLES
        if lacking(run.protocols.get(protocol, {}))[0] or not path.exists():
            continue
        for name, columns in read_json(path).items():
            yield run, name.replace("_", " "), list(columns), [list(row) for row in zip(*columns.values(), strict=True)]


def other_data(data: DataSet, protocol: str) -> dict[str, Any] | None:
    """Of a protocol on other data {"train", "test", "skipped", maybe "left_out"}, as in dataset.json; else None."""
    return next((dict(r["data"]) for run in data.runs if "data" in (r := run.protocols.get(protocol, {}))), None)


def _curves(project: Project, data: DataSet, protocol: str, hue: dict[str, str], name: str) -> str:
    store = Places(project.root, data.name)
    found = []
    for run in data.runs:
        if lacking(run.protocols.get(protocol, {}))[0]:
            continue
        path = store.findings(run.name, protocol) / CURVES
        if path.exists():
            found.append((run, read_json(path)))
    return protocol_plots.curves(found, hue, f"{name}-curves")
