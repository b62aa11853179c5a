"""MLflow runs by their tags: who writes one, whether that process lives, what a key's runs are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from tasks.process.identity import identity, is_alive
from tasks.project.project import Project
from tasks.tracking.keys import label, source_commit
from tasks.tracking.server import call, experiment_id, is_alone

METRICS_A_BATCH = 1000
TEXTS_A_BATCH = 100


def situation(project: Project, parent: str | None, owner: int | None = None) -> dict[str, str]:
    """Tags that say who writes (this process, or `owner`), from which commit, on whose behalf."""
    parent = parent or os.environ.get("COVEY_PARENT_RUN")
    flow = os.environ.get("PREFECT__FLOW_RUN_ID") or os.environ.get("COVEY_PREFECT_RUN")
    tags = {"covey.owner": json.dumps(identity(owner)), "covey.commit": source_commit(project)}
    tags |= {"mlflow.parentRunId": parent} if parent else {}
    return tags | ({"covey.prefect_run": flow} if flow else {})


def create(project: Project, client: Any, name: str, tags: dict[str, str]) -> str:
    return str(call(client.create_run, experiment_id(project, client), tags=tags, run_name=name).info.run_id)


def log(
    client: Any,
    run_id: str,
    *,
    parameters: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    metrics: Iterable[tuple[int, float, Mapping[str, float]]] = (),
) -> None:
    """Logs texts and (step, time, values), in as few calls as MLflow's limits allow."""
    from mlflow.entities import Metric, Param, RunTag

    points = [Metric(label(k), float(v), int(when), step) for step, when, values in metrics for k, v in values.items()]
    items: list[tuple[str, list[Any], int]] = [
        ("tags", [RunTag(name, value) for name, value in (tags or {}).items()], TEXTS_A_BATCH),
        ("params", [Param(name, value) for name, value in (parameters or {}).items()], TEXTS_A_BATCH),
        ("metrics", points, METRICS_A_BATCH),
    ]
    for kind, entities, limit in items:
        for start in range(0, len(entities), limit):
            call(client.log_batch, run_id, **{kind: entities[start : start + limit]})


def active(client: Any, run_id: str) -> Any | None:
    """The run, or None where the store does not have it (any more)."""
    from mlflow.exceptions import MlflowException

    try:
        run = call(client.get_run, run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise
    return run if run.info.lifecycle_stage == "active" else None


def search(project: Project, client: Any, condition: str) -> list[Any]:
    """The runs of this experiment that fulfil the condition, newest first; at most a thousand."""
    return list(call(client.search_runs, [experiment_id(project, client)], condition, max_results=1000))


def abandoned(project: Project, client: Any, key: str, *, restored: bool = False) -> Any | None:
    """A run of this key that a kill cut off before its id was noted; `restored`: while `record_restored` wrote it.

    A stage's run with metrics had a work folder, which is gone: its curve cannot be continued; it is passed over.
    """
    for run in search(project, client, f"tags.`covey.key` = '{key}' and attributes.status != 'FINISHED'"):
        if ("covey.restored" in run.data.tags) != restored or (run.data.metrics and not restored):
            continue
        if run.info.status in ("RUNNING", "KILLED") and is_orphan(client, run):
            return run
    return None


def is_orphan(client: Any, run: Any) -> bool:
    """Whether the process that wrote the run is dead; a run that does not say by whom it was written is left alone."""
    try:
        return not is_alive(json.loads(run.data.tags["covey.owner"]), alone=is_alone(client.tracking_uri))
    except (KeyError, ValueError, TypeError):
        return False
