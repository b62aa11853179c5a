"""The report as one self-contained page: every figure inline, nothing fetched, legible on paper too."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ssl_models.collapse import RULE
from tasks.process.duration import duration
from tasks.project import paths
from tasks.project.paths import Places
from tasks.project.project import Project
from tasks.reporting import (
    advice,
    atlas_section,
    graph,
    headline,
    monitor_plots,
    plots,
    regressions,
    sections,
    tables,
    verdict,
)
from tasks.reporting.imprint import Imprint, lacking
from tasks.reporting.ranking import ranking
from tasks.reporting.runs import Run
from tasks.reporting.tables import DataSet

PICTURE_BYTES = 1_500_000  # what all pictures of a page may take before they are made smaller
PACKAGES = ("torch", "torchvision", "numpy", "faiss-cpu", "scikit-learn", "dvc", "prefect", "mlflow", "matplotlib")


def render(project: Project, parameters: Mapping[str, Any], datasets: list[DataSet], own: Imprint) -> str:
    """The page. Only `own.made_at` differs between two pages of the same inputs on the same machine."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    allowance = PICTURE_BYTES // max(1, sum(_pictures(project, data) for data in datasets))
    hue = plots.hues([run for data in datasets for run in data.runs])
    runs = {run.name: hue[run.method] for data in datasets for run in data.runs}
    stated = {name: tables.stated(data, name) for data in datasets for name in data.protocols}
    room = atlas_section.shares(project, datasets)
    shown = [
        _section(project, data, hue, allowance)
        | {
            "alarm": regressions.against_published(project, parameters, data),
            "map": atlas_section.section(project, data, room),
        }
        for data in datasets
    ]
    mapped = any(not section["map"]["why"] for section in shown)
    script = environment.get_template("atlas.js.j2").render() if mapped else ""
    return environment.get_template("report.html.j2").render(
        sections=shown,
        script=script,
        policy=_policy(script),
        studies=any((project.root / paths.STUDIES).glob("*.json")),
        hue=runs,
        dag=graph.draw(parameters, runs),
        reading=[(tables.label(name), each.reading) for name, each in stated.items()],
        settings=_settings(parameters),
        machine=_machine(),
        imprint=own,
        seed=parameters.get("seed"),
    )


def _policy(script: str) -> str:
    """What a browser lets the page do: show what is in it, run this script, and fetch nothing."""
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = f"; script-src 'sha256-{allowed}'" if script else ""
    return f"default-src 'none'; img-src data: blob:; media-src data:; style-src 'unsafe-inline'{scripts}"


def _section(project: Project, data: DataSet, hue: dict[str, str], allowance: int) -> dict[str, Any]:
    """What the template shows of one data set."""
    place = Places(project.root, data.name)
    shown = tables.headline_measures(data)
    ours, controls = headline.headline(data)
    layered = [measure for measure in shown if tables.several_layers(data, measure)]
    name, winner = data.name, next((run for run, _, _ in ranking(data)), None)
    return {
        "data": data,
        "verdict": verdict.verdict(data),
        "cost": advice.cost(data, winner) if winner else "",
        "next_steps": advice.next_steps(data, winner) if winner else [],
        "measures": [(tables.metric_name(measure), measure.unit.strip()) for measure in shown],
        "rows": ours,
        "controls": controls,
        "reasons": verdict.unscored(data),
        "by_layer": [
            (tables.metric_name(m), plots.by_layer(data, m, hue, f"{name}-{m.protocol}"), len(tables.axes(data, m)) > 1)
            for m in layered
        ],
        "added": plots.added(data, shown, hue, f"{name}-added"),
        "training": plots.training([r for r in data.runs if not r.source], hue, f"{name}-pretrain"),
        "refits": plots.training([r for r in data.runs if r.source], hue, f"{name}-refit"),
        "monitored": monitor_plots.both(data.runs, hue, name),
        "unmonitored": monitor_plots.unmonitored(data.runs),
        "of_trainings": [
            (run, path.stem, _picture(path, allowance)) for run, path in sections.of_trainings(project, data)
        ],
        "rule": RULE,
        "samples": _picture(place.metrics / "pictures" / "samples.png", allowance),
        "sounds": _sounds(place.metrics / "pictures", data.samples.get("sounds") or {}),
        "tracks": _picture(place.metrics / "pictures" / "tracks.png", allowance),
        "sweeps": _picture(place.metrics / "pictures" / "sweeps.png", allowance),
        "clusters": [
            (run, _clusters(place, run, allowance), lacking(run.cluster))
            for run in data.runs
            if run.cluster and not run.continued
        ],
        "protocols": sections.sections(project, data, hue, lambda path: _picture(path, allowance)),
        "times": _times(data),
        "numbers": _numbers(data),
    }


def _sounds(folder: Path, named: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the page plays on request: a word, and the sound as a data URI. named: file -> word."""
    found = [(word, folder / file) for file, word in named.items()]
    return [
        (word, f"data:audio/wav;base64,{base64.b64encode(path.read_bytes()).decode()}")
        for word, path in found
        if path.exists()
    ]


def _clusters(place: Places, run: Run, allowance: int) -> dict[str, Any] | None:
    """The picture of a refit's clusters; None where they are missing, or stale."""
    return None if lacking(run.cluster)[0] else _picture(place.metric(run.name, "clusters.png"), allowance)


def _pictures(project: Project, data: DataSet) -> int:
    """How many pictures share the bytes, tracks among them where there are any."""
    tracks = (Places(project.root, data.name).metrics / "pictures" / "tracks.png").exists()
    shown = len(sections.pictures(project, data)) + len(sections.of_trainings(project, data))
    return 2 + tracks + sum(bool(run.cluster) for run in data.runs) + shown


def _picture(path: Path, allowance: int) -> dict[str, Any] | None:
    """A picture as {"address": data URI, "width", "height"}, made smaller where it takes more bytes than allowed."""
    from PIL import Image, UnidentifiedImageError

    content, kind = path.read_bytes() if path.exists() else b"", "png"
    if not content:  # absent, or the empty output of a stage that did not apply
        return None
    try:
        opened = Image.open(io.BytesIO(content))
    except UnidentifiedImageError as error:
        raise ValueError(f"{path} is no picture; delete it and run its stage again") from error
    with opened as image:
        width, height = image.size
        small, quality = image.convert("RGB"), 90
        while len(content) > allowance and quality >= 40:
            buffer = io.BytesIO()
            small.save(buffer, format="WEBP", quality=quality, method=4)
            content, kind, quality = buffer.getvalue(), "webp", quality - 10
            if len(content) > 2 * allowance and min(small.size) > 200:
                small = small.resize((small.width // 2, small.height // 2), Image.Resampling.LANCZOS)
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    return {"address": address, "width": width, "height": height}


def _numbers(data: DataSet) -> list[dict[str, Any]]:
    """Every score: a table a metric with a column a layer, or a table a protocol where there are no layers."""
    found = []
    for protocol in data.protocols:
        names = tables.metrics(data, protocol)
        measures = [tables.measure(data, protocol, name) for name in names]
        by_layer = [measure for measure in measures if len(tables.layers(data, measure)) > 1]
        plain = [measure for measure in measures if measure not in by_layer]
        for measure in by_layer:
            columns = [(measure, layer) for layer in tables.layers(data, measure)]
            found.append(_table(data, tables.metric_name(measure), columns, [layer for _, layer in columns]))
        if plain:
            columns = [(measure, layer) for measure in plain for layer in tables.layers(data, measure)]
            found.append(_table(data, tables.label(protocol), columns, [measure.metric for measure, _ in columns]))
    return found


def _table(data: DataSet, title: str, columns: list[tuple[tables.Measure, str]], heads: list[str]) -> dict[str, Any]:
    rows = []
    for run in data.runs:
        cells = []
        for measure, layer in columns:
            score = next((s for s in run.scores(measure.protocol, measure.metric) if s.layer == layer), None)
            shown = (measure.number(score.value), measure.interval(score.low, score.high)) if score else ("–", "")
            cells.append(shown)
        lacks, why = lacking(run.protocols.get(columns[0][0].protocol, {}))
        rows.append((run, cells, f"{lacks}: {why}" if lacks else ""))
    units = {measure.unit.strip() for measure, _ in columns} - {""}
    return {"title": title + (f", {units.pop()}" if len(units) == 1 else ""), "heads": heads, "rows": rows}


def _times(data: DataSet) -> dict[str, Any]:
    """Seconds a stage and samples a second; the total is of what was recorded."""
    rows, total = [], _seconds(data.prepare) or 0.0
    for run in data.runs:
        spent = [_seconds(run.training), _seconds(run.cluster), *(_seconds(run.protocols[p]) for p in run.protocols)]
        total += sum(value for value in spent if value is not None)
        speed = run.training.get("samples_per_second")
        rows.append((run, [duration(value) for value in spent], f"{speed:,.0f}" if speed else "–", _how(run)))
    return {
        "rows": rows,
        "protocols": data.protocols,
        "total": duration(total),
        "prepare": duration(_seconds(data.prepare)),
    }


def _seconds(record: Mapping[str, Any]) -> float | None:
    value = record.get("seconds")
    return None if value is None else float(value)


def _how(run: Run) -> str:
    """On what a run was trained, as recorded: "cpu, bfloat16, 2 threads"."""
    record = run.training
    lacks, why = lacking(record) if record else ("", "")
    if lacks:
        return f"{lacks}: {why}"
    threads = f"{record['threads']} threads" if record.get("threads") else ""
    return ", ".join(str(part) for part in (record.get("device"), record.get("precision"), threads) if part)


def _settings(parameters: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """params.yaml as (block, [(name, settings in one line)]); blocks of plain values have one line a setting."""
    found = []
    general = [(key, str(value)) for key, value in parameters.items() if not isinstance(value, dict | list)]
    for key, block in parameters.items():
        if key == "kinds":  # the one that is worked on stands at the top level too
            continue
        if isinstance(block, list):
            general.append((key, ", ".join(map(str, block))))
        elif isinstance(block, dict) and block:
            lines = [(str(name), _one_line(content)) for name, content in block.items()]
            found.append((str(key), lines))
    return [("general", general), *found]


def _one_line(content: Any) -> str:
    if isinstance(content, dict):
        return ", ".join(f"{name} {value}" for name, value in tables.flatten(content)) if content else "defaults"
    return str(content)


def _machine() -> list[tuple[str, str]]:
    """What this page was made on; torch is asked for its version only, not imported."""
    found = [("Python", platform.python_version()), ("system", platform.platform(terse=True))]
    found += [("processor", _processor()), ("cores", str(os.cpu_count())), ("GPU", _gpu())]
    for package in PACKAGES:
        try:
            found.append((package, version(package)))
        except PackageNotFoundError:
            found.append((package, "not installed"))
    return found


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in path.read_text().splitlines() if "model name" in line]
        if path.exists()
        else []
    )
    return names[0] if names else platform.processor() or platform.machine()


def _gpu() -> str:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "none found"
    return ", ".join(line.strip() for line in told.splitlines() if line.strip()) or "none found"
