"""The report's map of a data set: what lies in maps/<data>, packed for the page, or why there is none.

The script of the page (templates/atlas*.js.j2) unpacks it; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_models.figures import PALETTE
from tasks.artifacts.maps import OWN, run_file
from tasks.artifacts.tables import read_table
from tasks.process.files import read_json
from tasks.project.paths import NOT_APPLICABLE, Places
from tasks.project.project import Project
from tasks.reporting import atlas_pack
from tasks.reporting.atlas_sheets import embedded
from tasks.reporting.imprint import MAP, SKIPPED
from tasks.reporting.tables import DataSet

PAGE_BYTES = 12_500_000
"""What all maps of a page may take: with the rest of the report the page stays under 15 MB."""
RUN_SHARE = 0.5
"""Of a map's bytes, the most that all its runs may take; the first is kept whatever it takes. Thumbnails get the
rest."""


def section(project: Project, data: DataSet, allowance: int) -> dict[str, Any]:
    """What the template shows: {"why": a sentence} where there is no map, or its packets and its facts.

    allowance: bytes of base64 text for this map. Raises ValueError naming the file where an output is damaged.
    """
    folder = Places(project.root, data.name).maps
    why = absent(folder, data)
    if why:
        return {"why": why}
    known = read_json(folder / "maps.json")
    try:
        return _packed(folder, known, data, allowance)
    except KeyError as error:
        raise ValueError(f"{folder / 'maps.json'} lacks {error}; run the stage {MAP} again") from error


def _packed(folder: Path, known: Mapping[str, Any], data: DataSet, allowance: int) -> dict[str, Any]:
    """The packets and the facts."""
    columns = _table(folder / "samples.parquet", int(known["samples"]))
    runs, left_out = _runs(folder, known, int(allowance * RUN_SHARE))
    header, arrays = _samples(columns, known, data)
    taken = len(atlas_pack.pack(header, arrays)) + sum(len(packet) for _, packet in runs)
    sheets = embedded(folder, known.get("thumbnails") or {}, allowance - taken)
    head = atlas_pack.pack(header | {"thumbnails": sheets.layout}, arrays)
    return {
        "why": "",
        "samples": known["samples"],
        "head": head,
        "sheets": sheets.texts,
        "runs": runs,
        "left_out": left_out,
        "lacking": sorted((known.get("left_out") or {}).items()),
        "winner": known.get("winner"),
        "rule": known.get("rule") or "",
        "layer": known.get("layer") or "",
        "method": known["per_run"][runs[0][0]].get("method", ""),
        "with_files": "file" in columns,
    }


def shares(project: Project, datasets: list[DataSet]) -> int:
    """The bytes of each map: PAGE_BYTES over the data sets that have one."""
    having = [data for data in datasets if not absent(Places(project.root, data.name).maps, data)]
    return PAGE_BYTES // max(1, len(having))


def absent(folder: Path, data: DataSet) -> str:
    """Why there is no map, in a sentence; empty where there is one."""
    for gap in data.gaps:
        if any(stage.partition("@")[0] == MAP for stage in gap.stages):
            return f"There is no map: the stage {MAP} {'was ' * (gap.state == SKIPPED)}{gap.state} ({gap.why})."
    marked = folder / NOT_APPLICABLE
    if marked.exists():
        return f"There is no map of {data.name}: {marked.read_text(encoding='utf-8').strip().rstrip('.')}."
    if not (folder / "maps.json").exists():
        return f"There is no map yet: maps/{data.name}/maps.json was not found. covey run makes it."
    return ""


def _samples(
    columns: Mapping[str, list[Any]], known: Mapping[str, Any], data: DataSet
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What all runs share, as header and arrays: names, labels and factors."""
    listed: list[dict[str, Any]] = []
    arrays: dict[str, np.ndarray] = {}
    for name, values in columns.items():
        if name in ("row", "file"):
            continue
        title = name.replace("_", " ")
        if name not in OWN and all(isinstance(value, float | None) for value in values):
            arrays[name], low, high = atlas_pack.quantised(values)
            angle = name in known["angles"]  # it comes round to its beginning after 360
            listed.append({"name": name, "title": title, "low": low, "high": high, "angle": angle})
        else:
            names, arrays[name] = atlas_pack.categories(values)
            listed.append({"name": name, "title": title, "values": names})
    header = {
        "data": data.name,
        "samples": known["samples"],
        "neighbours": known["neighbours"],
        "columns": listed,
        "files": [file or "" for file in columns.get("file", [])],
        "rows": list(columns["row"]),
        "palette": PALETTE,
    }
    return header, arrays


def _runs(folder: Path, known: Mapping[str, Any], left: int) -> tuple[list[tuple[str, str]], list[str]]:
    """(run, packet), the winner first, as many as there is room for but at least one; and the names of the others."""
    order = sorted(known["runs"], key=lambda name: name != known.get("winner"))
    kept: list[tuple[str, str]] = []
    for place, name in enumerate(order):
        packet = _run(folder, name, known)
        left -= len(packet)
        if kept and left < 0:
            return kept, order[place:]
        kept.append((name, packet))
    return kept, []


def _run(folder: Path, name: str, known: Mapping[str, Any]) -> str:
    """The packet of one run's map, clusters, neighbours, near-duplicates and outliers."""
    path = folder / run_file(name)
    samples, width = int(known["samples"]), int(known["neighbours"])
    table = _table(path, samples)
    try:
        near = atlas_pack.rectangle(table["neighbours"], width, -1)
        between, _, farthest = atlas_pack.quantised(_from_zero(table["neighbour_distances"], width).ravel())
        distance, _, reach = atlas_pack.quantised([0.0, *table["distance"]])
        outlier, low, high = atlas_pack.quantised(table["outlier"])
        own = known["per_run"][name]
        arrays = {
            "points": atlas_pack.coordinates(table["x"], table["y"]),
            "cluster": atlas_pack.indices(table["cluster"], int(own["clusters"])),
            "distance": distance[1:],
            "neighbours": atlas_pack.indices(near.astype(int), samples),
            "neighbour_distances": between[1:],
            "duplicate": atlas_pack.indices(table["duplicate"], samples),
            "outlier": outlier,
        }
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"{path} is not what the stage {MAP} writes ({error}); run it again") from error
    header = {"name": name, "tightness": _finite(own.get("tightness") or []), "clusters": own["clusters"]}
    header["below"] = own.get("duplicates_below", known.get("duplicates_below"))
    ranges = {"distance": [0, reach], "neighbour_distances": [0, farthest], "outlier": [low, high]}
    return atlas_pack.pack({**header, "ranges": ranges}, arrays)


def _from_zero(rows: list[list[float]], width: int) -> np.ndarray:
    """The distances of neighbours behind a zero, so that their range begins there."""
    return np.concatenate([[0.0], atlas_pack.rectangle(rows, width, np.nan).ravel()])


def _finite(values: list[float | None]) -> list[float | None]:
    return [None if value is None or not np.isfinite(value) else round(float(value), 5) for value in values]


def _table(path: Path, samples: int) -> dict[str, list[Any]]:
    """The columns of a parquet file. Raises ValueError where it has not a row a sample."""
    if not path.exists():
        raise ValueError(f"{path} was not found; run the stage {MAP} again")
    columns = read_table(path)
    if any(len(values) != samples for values in columns.values()):
        raise ValueError(f"{path} has not {samples} rows, as maps.json says; run the stage {MAP} again")
    return columns
