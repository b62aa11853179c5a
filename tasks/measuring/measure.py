"""A protocol's findings: measured, and written as one record with a folder of pictures and curves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib import import_module
from typing import Any

from ssl_models.errors import DoesNotApply
from ssl_models.protocols._common.score import Findings, Representation
from tasks.artifacts.pictures import save_png
from tasks.process import kill_points
from tasks.process.files import write_json
from tasks.project.paths import CURVES, TABLES
from tasks.stage.context import Context, NotApplicable, Result


def measure(
    context: Context,
    run: str,
    name: str,
    protocol: str,
    settings: Mapping[str, Any],
    representation: Callable[[], Representation],
    data: Mapping[str, Any] | None = None,
) -> Result:
    """Runs a protocol and writes what it found under `name`.

    representation: makes what is measured. What it lacks is found out like what a protocol asks in vain.
    data: of a target, what its section of the report says of them: how many samples, and what was skipped or left out.

    Raises:
        NotApplicable: the protocol cannot be applied to these data or this encoder.
    """
    evaluate = import_module(f"ssl_models.protocols.{protocol}").evaluate
    try:
        findings: Findings = evaluate(representation(), seed=context.parameters["seed"], **settings)
    except DoesNotApply as error:
        raise NotApplicable(f"{name}: {error}") from error
    kill_points.point("before-output")
    record: dict[str, Any] = {"protocol": protocol, "scores": [asdict(score) for score in findings.scores]}
    record |= {"data": dict(data)} if data else {}
    record |= {"notes": list(findings.notes)} if findings.notes else {}
    for score in findings.scores:  # once more by name, for `dvc metrics show`, which passes over lists
        record.setdefault(score.metric, {})[score.layer or "all"] = score.value
    folder = context.places.findings(run, name)
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for title, picture in findings.pictures.items():
        pictures.append(folder / f"{title}.png")
        save_png(pictures[-1], picture)
    for content, file in ((findings.curves, CURVES), (findings.tables, TABLES)):
        if content:
            write_json(folder / file, content)
    write_json(context.places.metric(run, f"{name}.json"), record)
    return Result({f"{s.metric}.{s.layer or 'all'}": s.value for s in findings.scores}, artifacts=pictures)
