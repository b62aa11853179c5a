"""After a stage: what DVC brought back from its cache gets its record too, and what is no longer needed goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from tasks.project import paths
from tasks.stage import run as stage
from tasks.staleness import declaration as declared
from tasks.tracking import stage_run

_alone = Lock()
"""DVC's Python API is not for several threads at once."""


def settle(root: Path, name: str, outcome: str, parameters: Mapping[str, Any]) -> None:
    """`outcome`: "ran", "restored" or "unchanged"; the stage is up to date now.

    A stage that DVC restored ran no command, so nobody recorded it: a finished MLflow run is written in its place,
    and its encoder is registered as the newest. The checkpoints of a stage that has ended are of no more use.
    """
    if outcome == "restored":
        with _alone:
            _record(root, name, parameters)
    paths.forget_work(root, name, only_done=True)


def _record(root: Path, name: str, parameters: Mapping[str, Any]) -> None:
    declaration = declared.read(root, name)
    key = declaration.key(declaration.fingerprint())
    shown = stage.relevant(name, parameters)
    run_id = stage_run.record_restored(root, name, key, shown, summary(root, declaration))
    run = name.partition("@")[2]
    place = paths.Store(root, parameters["data"]["name"])
    if (place.encoder(run) / "encoder.json").exists() and name.partition("@")[0] in ("pretrain", "clusterfit"):
        stage.register(root, run_id, f"{place.data}.{run}", place.encoder(run))


def summary(root: Path, declaration: declared.Declared) -> dict[str, float]:
    """The numbers in a stage's metric files."""
    found: dict[str, float] = {}
    for output in declaration.outputs:
        if not output.endswith(".json"):
            continue
        content = paths.read_json(root / output)
        for score in content.get("scores", []):
            found[f"{score['metric']}.{score['layer'] or 'all'}"] = float(score["value"])
        numbers = {name: value for name, value in content.items() if isinstance(value, (int, float))}
        found |= {name: float(value) for name, value in numbers.items()}
    return found
