"""Stage `atlas`: a map of the samples as a representation has them, with what lies near what, and small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy import ndarray

from ssl_models.atlas import groups, layout, looks, neighbours, oddities
from ssl_models.previews import drawn_part, preview
from tasks.artifacts import thumbnails
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import POOLED, Features
from tasks.artifacts.maps import SPLITS, Maps, draw, sample_columns, sheet_name
from tasks.process import kill_points
from tasks.project.paths import NOT_APPLICABLE, Places
from tasks.reporting import records
from tasks.reporting.ranking import ranking
from tasks.reporting.runs import SELF_SUPERVISED
from tasks.reporting.tables import DataSet, metric_name
from tasks.selection import scope
from tasks.settings.maps import SMALLEST, asked
from tasks.stage.context import Context, NotApplicable, Result


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
    settings, seed = parameters["maps"], parameters["seed"]
    data = Stored(places.dataset)
    counts = {split: int(data.description[split]) for split in SPLITS}
    if sum(counts.values()) < SMALLEST:
        raise NotApplicable(f"a map takes {SMALLEST} samples, and '{places.data}' has {sum(counts.values())}")
    choice = choose(records.collect(context.project, parameters, {})[0], asked(parameters), places)
    rows = draw(counts, settings["samples"], seed)
    count = sum(map(len, rows.values()))
    near = min(settings["neighbours"], count - 1)
    facts: dict[str, Any] = {"runs": choice.runs, "winner": choice.winner, "rule": choice.rule, "layer": POOLED}
    facts |= {"samples": count, "neighbours": near, "left_out": choice.left_out}
    seen = look_at(data, rows)
    facts["thumbnails"] = seen and seen.facts
    own = {**settings, "neighbours": near}
    found = {}
    for run in choice.runs:
        print(f"map of {count:,} samples of {run}", flush=True)
        features = read_features(places, run, rows)
        found[run] = of_run(features, seen.signatures if seen else None, own, seed, parameters["machine"]["threads"])
    kill_points.point("before-output")
    maps = Maps(places.maps)
    facts["per_run"] = {run: told for run, (_, told) in found.items()}
    facts["duplicates_below"] = facts["per_run"][choice.runs[0]]["duplicates_below"]
    maps.clear()
    maps.write_samples(sample_columns(data, rows))
    for run, (columns, _) in found.items():
        maps.write_run(run, columns)
    maps.write_sheets(seen.sheets if seen else [])
    maps.write(facts)
    return Result({"samples": float(count), "runs": float(len(choice.runs))})


def choose(data: DataSet, wanted: list[str] | None, places: Places) -> Choice:
    """wanted: the runs asked for, None for the one that ranks first.

    Where no run has a score, that is the first self-supervised one with features, in the order of the parameters.
    Raises NotApplicable where no run has features.
    """
    lacking = {run.name: why for run in data.runs if (why := without_features(places, run.name))}
    ranked = [entry for entry in ranking(data) if entry[0].name not in lacking]
    winner = ranked[0][0].name if ranked else None
    there = [run for run in data.runs if run.name not in lacking]
    if wanted is not None:
        runs = [run for run in wanted if run not in lacking]
        rule = "These are the runs that maps.runs asks for."
        left_out = {run: lacking[run] for run in wanted if run in lacking}
    elif winner is not None:
        _, score, shown = ranked[0]
        runs, left_out = [winner], {}
        rule = f"{winner} ranks first by {metric_name(shown)}, at the layer {score.layer}."
    else:
        first = [run for run in there if run.role == SELF_SUPERVISED] or [run for run in there if run.ranked] or there
        runs, left_out = [run.name for run in first[:1]], {}
        rule = f"No run has a score, so this is the first self-supervised run: {runs[0]}." if runs else ""
        if runs and first[0].role != SELF_SUPERVISED:
            rule = f"No run has a score and none is self-supervised, so this is the first run: {runs[0]}."
    if not runs:
        reasons = "; ".join(sorted({why for run, why in lacking.items() if wanted is None or run in wanted}))
        raise NotApplicable(f"no run has features of '{places.data}' to be mapped: {reasons or 'there is no run'}")
    return Choice(runs, winner if winner in runs else None, rule, left_out)


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
