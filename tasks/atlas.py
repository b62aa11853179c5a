"""Stage `atlas`: a map of the samples as a representation has them, with what lies near what, and small pictures.

Coordinates, neighbours and thumbnails are kept for the next run of the stage (tasks/artifacts/map_parts.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.atlas import groups, layout, looks, neighbours, oddities
from ssl_models.previews import drawn_part, preview
from tasks.artifacts import thumbnails
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import POOLED, Features
from tasks.artifacts.map_parts import Parts, key_of
from tasks.artifacts.maps import SPLITS, Maps, draw, known_of, run_file, sheet_name
from tasks.artifacts.tables import write_table
from tasks.process import kill_points
from tasks.process.files import read_json, write_json
from tasks.project.paths import NOT_APPLICABLE, Places
from tasks.project.project import Project
from tasks.reporting import records
from tasks.reporting.ranking import ranking, winner
from tasks.reporting.runs import SELF_SUPERVISED
from tasks.reporting.tables import DataSet, metric_name
from tasks.selection import scope
from tasks.settings.maps import SMALLEST, asked
from tasks.stage.context import Context, NotApplicable, Result
from tasks.staleness import code_hash
from tasks.staleness.declaration import hash_paths

FACTS, SIGNATURES = "facts.json", "signatures.npy"
"""What a kept part holds beside the files of the map."""


@dataclass(frozen=True)
class Choice:
    """The runs to be mapped; the winner, where there is one among them; and a sentence that says how they were chosen.

    left_out: run -> why it has no map.
    """

    runs: list[str]
    winner: str | None
    rule: str
    left_out: dict[str, str]


def atlas(context: Context) -> Result:
    """data, features, metrics -> maps/<data>: see tasks/artifacts/maps.py.

    Raises:
        NotApplicable: there are fewer than 20 samples, or no run has features.
    """
    parameters, places = scope.narrowed(context.parameters), context.places
    settings = parameters["maps"]
    data = Stored(places.dataset)
    counts = {split: int(data.description[split]) for split in SPLITS}
    if sum(counts.values()) < SMALLEST:
        raise NotApplicable(f"a map takes {SMALLEST} samples, and '{places.data}' has {sum(counts.values())}")
    choice = choose(records.collect(context.project, parameters, {})[0], asked(context.parameters), places)
    rows = draw(counts, settings["samples"], parameters["seed"])
    count = sum(map(len, rows.values()))
    near = min(settings["neighbours"], count - 1)
    facts: dict[str, Any] = {"runs": choice.runs, "winner": choice.winner, "rule": choice.rule, "layer": POOLED}
    facts |= {"samples": count, "neighbours": near, "left_out": choice.left_out}
    parts = Parts(context.project.work(context.stage, "parts"))
    pictures, found = _made(context.project, parts, choice.runs, rows, {**settings, "neighbours": near})
    kill_points.point("before-output")
    maps, known = Maps(places.maps), known_of(data, rows)
    facts |= {"angles": known.angles, "thumbnails": read_json(pictures / FACTS)}
    facts["per_run"] = {run: read_json(part / FACTS) for run, part in found.items()}
    facts["duplicates_below"] = facts["per_run"][choice.runs[0]]["duplicates_below"]
    maps.clear()
    maps.write_samples(known.columns)
    maps.take(found[run] / run_file(run) for run in choice.runs)
    maps.take(pictures / name for name in (facts["thumbnails"] or {}).get("sheets", ()))
    maps.write(facts)
    parts.tidy()
    return Result({"samples": float(count), "runs": float(len(choice.runs))})


def _made(
    project: Project, parts: Parts, runs: Sequence[str], rows: Mapping[str, ndarray], settings: Mapping[str, Any]
) -> tuple[Path, dict[str, Path]]:
    """The folders of the thumbnails' part and of each run's, made where nothing that shapes them is as it was."""
    places, seed, threads = project.places, project.parameters["seed"], project.parameters["machine"]["threads"]
    samples = [places.dataset.relative_to(project.root).as_posix()]
    code = code_hash.read(project.root).get("atlas")
    key = key_of("looks", code, hash_paths(project, samples), settings["samples"], seed)
    pictures = parts.get(key, partial(write_looks, Stored(places.dataset), rows))
    shaping = key, settings["neighbours"], settings["clusters"], seed, threads
    found = {}
    for run in runs:
        folder = places.features(run).relative_to(project.root)
        features = hash_paths(project, [(folder / f"{split}.{POOLED}.npy").as_posix() for split in SPLITS])
        make = partial(write_run, places, run, rows, pictures, settings, seed, threads)
        found[run] = parts.get(key_of("run", run, features, *shaping), make)
    return pictures, found


def choose(data: DataSet, wanted: list[str] | None, places: Places) -> Choice:
    """wanted: the runs asked for, None for the one that ranks first, be it above the untrained floor or not.

    Where no run has a score, that is the first self-supervised one with features, in the order of the parameters.
    Raises NotApplicable where no run has features.
    """
    lacking = {run.name: why for run in data.runs if (why := without_features(places, run.name))}
    selected = {run.name for run in data.runs}
    lacking |= {run: f"{run} is not among the selected runs" for run in wanted or () if run not in selected}
    ranked = [entry for entry in ranking(data) if entry[0].name not in lacking]
    best = winner(data)
    there = [run for run in data.runs if run.name not in lacking]
    left_out = {run: lacking[run] for run in wanted or () if run in lacking}
    if wanted is not None:
        runs = [run for run in wanted if run not in lacking]
        rule = "These are the runs that maps.runs asks for."
    elif ranked:
        first, score, shown = ranked[0]
        runs = [first.name]
        left_out = {run.name: lacking[run.name] for run, _, _ in ranking(data) if run.name in lacking}
        of = " of those with features" if left_out else ""
        rule = f"{first.name} ranks first{of} by {metric_name(shown)}, at the layer {score.layer}"
        rule += "." if best else ", though no run passes the untrained floor."
    else:
        self_supervised = [run for run in there if run.role == SELF_SUPERVISED]
        runs = [run.name for run in (self_supervised or [run for run in there if run.ranked] or there)[:1]]
        none = "" if self_supervised else " and none is self-supervised"
        which = "the first self-supervised run" if self_supervised else "the first run"
        rule = f"No run has a score{none}, so this is {which}: {runs[0]}." if runs else ""
    if not runs:
        reasons = "; ".join(sorted({why for run, why in lacking.items() if wanted is None or run in wanted}))
        raise NotApplicable(f"no run has features of '{places.data}' to be mapped: {reasons or 'there is no run'}")
    return Choice(runs, best.name if best and best.name in runs else None, rule, left_out)


def without_features(places: Places, run: str) -> str:
    """Why a run has no features, or none to be mapped; empty where it has."""
    folder = places.features(run)
    mark = folder / NOT_APPLICABLE
    if mark.is_file():
        return mark.read_text().strip()
    return "" if folder.is_dir() else f"{run} has not been extracted"


def read_features(places: Places, run: str, rows: Mapping[str, ndarray]) -> ndarray:
    """(N, D) float16: the drawn rows of both splits; nothing else of the files is read."""
    stored = Features(places.features(run))
    return np.concatenate([stored.read(split, POOLED)[rows[split]] for split in SPLITS])


def write_run(
    places: Places,
    run: str,
    rows: Mapping[str, ndarray],
    pictures: Path,
    settings: Mapping[str, Any],
    seed: int,
    threads: int,
    folder: Path,
) -> None:
    """A run's table and facts. pictures: the folder that `write_looks` has written."""
    print(f"map of {sum(map(len, rows.values())):,} samples of {run}", flush=True)
    features = read_features(places, run, rows)
    signatures = np.load(pictures / SIGNATURES) if (pictures / SIGNATURES).exists() else None
    columns, facts = of_run(features, signatures, settings, seed, threads)
    write_table(folder / run_file(run), columns)
    write_json(folder / FACTS, facts)


def write_looks(data: Stored, rows: Mapping[str, ndarray], folder: Path) -> None:
    """Sheets of thumbnails, signatures and facts; facts of null alone for samples that cannot be drawn."""
    seen = look_at(data, rows)
    write_json(folder / FACTS, seen and seen.facts)
    if seen:
        np.save(folder / SIGNATURES, seen.signatures)
        for number, content in enumerate(seen.sheets):
            (folder / sheet_name(number)).write_bytes(content)


def of_run(
    features: ndarray, signatures: ndarray | None, settings: Mapping[str, Any], seed: int, threads: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Features (N, D) and what samples look like (N, S) -> the columns of the run's table, and facts about its map."""
    rows, distances = neighbours.nearest(features, settings["neighbours"])
    threshold = oddities.threshold(distances)
    alike = None if signatures is None else looks.agreement(signatures, rows) >= looks.ALIKE
    divided = groups.clusters(features, settings["clusters"], seed=seed, threads=threads)
    placed = layout.lay_out(features, seed=seed, threads=threads)
    columns = {
        "x": placed.points[:, 0],
        "y": placed.points[:, 1],
        "cluster": divided.assignments,
        "distance": divided.distances,
        "neighbours": list(rows),
        "neighbour_distances": list(distances),
        "duplicate": oddities.near_duplicates(rows, distances, threshold, alike),
        "outlier": oddities.outliers(distances),
    }
    facts = {"method": placed.method, "clusters": len(divided.tightness), "tightness": _plain(divided.tightness)}
    return columns, facts | {"duplicates_below": threshold}


@dataclass(frozen=True)
class Looks:
    """signatures: (N, S), see ssl_models/atlas/looks.py. sheets: files of thumbnails. facts: how they lie there."""

    signatures: ndarray
    sheets: list[bytes]
    facts: dict[str, Any]


def look_at(data: Stored, rows: Mapping[str, ndarray]) -> Looks | None:
    """What the drawn samples look like; None for samples that cannot be drawn."""
    stored = {split: data.whole(split) for split in SPLITS}
    part = drawn_part(stored["train"])
    if part is None:
        return None
    places = [(split, int(row)) for split in SPLITS for row in rows[split]]
    known = data.known

    def picture(number: int) -> ndarray:
        split, row = places[number]
        return preview(stored[split], row, known)

    plan = thumbnails.plan(picture, len(places))
    signatures, sheets = [], []
    for pictures in thumbnails.drawn(picture, len(places), plan):
        signatures.append(looks.of_pictures(pictures))
        sheets.append(thumbnails.encoded(pictures, plan))
    if part == "tokens":
        signatures = [looks.of_words(np.asarray(stored[split]["tokens"][rows[split]])) for split in SPLITS]
    facts: dict[str, Any] = {
        "side": max(plan.size),
        "width": plan.width,
        "height": plan.height,
        "columns": plan.columns,
    }
    facts |= {"rows": plan.rows, "sheets": [sheet_name(number) for number in range(len(sheets))], "count": len(places)}
    return Looks(np.concatenate(signatures), sheets, facts)


def _plain(values: Sequence[float] | ndarray) -> list[float]:
    """Rounded, for a page."""
    return [round(float(value), 6) for value in values]
