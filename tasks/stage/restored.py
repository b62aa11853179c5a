"""What DVC brought back from its cache gets its record too."""

from __future__ import annotations

from tasks.process import files
from tasks.project.project import Project
from tasks.stage.run import register
from tasks.stage.settings_of import settings_of
from tasks.staleness import declaration, pipeline
from tasks.staleness.graph import Stage
from tasks.tracking import stage_run


def record(project: Project, name: str) -> None:
    """Writes the record of a stage that DVC has restored, and registers its encoder as the newest.

    DVC ran no command, so nobody has recorded it: a finished MLflow run is written in its place.
    """
    stage = pipeline.stage(project.root, name)
    key = declaration.key_of(name, declaration.fingerprint(project.root, stage))
    costs = project.costs(name)
    if costs.exists() and files.remembered(costs).get("key") != key:
        costs.unlink()  # of a run with other inputs
    shown = settings_of(name, project.parameters)
    run_id = stage_run.record_restored(project, name, key, shown, summary(project, stage))
    word, _, run = name.partition("@")
    encoder = project.places.encoder(run)
    if word in ("pretrain", "clusterfit") and (encoder / "encoder.json").exists():
        register(project, run_id, f"{project.places.data}.{run}", encoder)


def summary(project: Project, stage: Stage) -> dict[str, float]:
    """The numbers in a stage's metric files."""
    found: dict[str, float] = {}
    for output in stage.outputs:
        if not output.endswith(".json"):
            continue
        content = files.read_json(project.root / output)
        for score in content.get("scores", []):
            found[f"{score['metric']}.{score['layer'] or 'all'}"] = float(score["value"])
        numbers = {name: value for name, value in content.items() if isinstance(value, (int, float))}
        found |= {name: float(value) for name, value in numbers.items()}
    return found
