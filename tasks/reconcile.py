"""After a run: what DVC brought back from its cache gets its record too, and what is no longer needed goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tasks import declared, params, stage, store, tracking


def settle(root: Path, ended: Mapping[str, str]) -> None:
    """`ended`: stage -> "ran", "restored" or "unchanged", all of them up to date now.

    A stage that DVC restored ran no command, so nobody recorded it: a finished MLflow run is written in its place.
    The checkpoints of a stage that has ended are of no more use.
    """
    parameters = params.load(root)
    for name, outcome in ended.items():
        if outcome == "restored":
            declaration = declared.read(root, name)
            key = declaration.key(declaration.fingerprint())
            shown = stage.relevant(name, parameters)
            tracking.record_restored(root, name, key, shown, summary(root, declaration))
        store.forget_work(root, name)


def summary(root: Path, declaration: declared.Declared) -> dict[str, float]:
    """The numbers in a stage's metric files."""
    found: dict[str, float] = {}
    for output in declaration.outputs:
        if not output.endswith(".json"):
            continue
        content = store.read_json(root / output)
        for score in content.get("scores", []):
            found[f"{score['metric']}.{score['layer'] or 'all'}"] = float(score["value"])
        numbers = {name: value for name, value in content.items() if isinstance(value, (int, float))}
        found |= {name: float(value) for name, value in numbers.items()}
    return found
