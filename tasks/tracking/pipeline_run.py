"""The MLflow run that the runs of stages, or of a sweep's points, hang under; and runs that the dead have left open."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from tasks.project.project import Project
from tasks.tracking import server
from tasks.tracking.keys import label, parameter_texts
from tasks.tracking.queries import active, create, is_orphan, log, search, situation
from tasks.tracking.server import (
    call,
    choose_uri,
    connect,
    database,
    initialise,
    is_server,
    local_uri,
    reachable,
    running,
)


def start(project: Project, name: str, tags: Mapping[str, str], owner: int) -> str:
    """Creates the run; its id goes to the stages as COVEY_PARENT_RUN. owner: the process that it belongs to.

    The records are made where there are none, and runs whose process is dead are closed.
    """
    initialise(project)
    close_dead(project)
    client = connect(project, choose_uri(project))
    given = {label(key): str(value) for key, value in tags.items()}
    return create(project, client, name, {"covey.pipeline": name, **situation(project, None, owner), **given})


def describe(project: Project, run_id: str, parameters: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
    """Adds settings and final numbers to a run that is at work."""
    client = connect(project, choose_uri(project))
    log(client, run_id, parameters=parameter_texts(parameters), metrics=[(0, time.time() * 1000, metrics)])


def finish(project: Project, run_id: str, status: str) -> str:
    """Ends it as FINISHED, FAILED or KILLED, wherever it was started.

    Unless it is FINISHED, the runs of stages that had to be killed are closed too. Returns what the user should know.
    """
    if status != "FINISHED":
        close_dead(project)
    for uri in places(project):
        client = connect(project, uri)
        if active(client, run_id) is not None:
            call(client.set_terminated, run_id, status)
            return ""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if is_server(uri) and not reachable(uri):
        return (
            f"MLflow server {uri} stopped answering: what came after is recorded in {database(project)}, and the run "
            "of the pipeline was not closed. The next covey run closes it when the server is back."
        )
    return f"MLflow does not know the pipeline's run {run_id}, so it was not told that it is {status}"


def close_dead(project: Project) -> list[str]:
    """Marks as KILLED what is RUNNING though its process is dead (of this host); gives the ids.

    Cheap where nothing is RUNNING in a local file: MLflow is then not even imported.
    """
    closed: list[str] = []
    for uri in places(project):
        if uri == local_uri(project) and not running(project):
            continue
        client = connect(project, uri)
        for run in search(project, client, "attributes.status = 'RUNNING' and tags.`covey.owner` LIKE '{%'"):
            if is_orphan(client, run):
                call(client.set_terminated, run.info.run_id, "KILLED")
                closed.append(run.info.run_id)
    return closed


def refuse_unusable(project: Project) -> None:
    """Looks at the records before any server is started; cheap, and MLflow is not imported.

    Raises:
        ParameterError: they are in a place, a file or a schema that MLflow cannot use; the text says what to do.
    """
    for uri in places(project):
        server.refuse_unusable(project, uri)


def places(project: Project) -> list[str]:
    """Every address that may hold runs of this project: the one in use, and the local file where there is one."""
    chosen, local = choose_uri(project), local_uri(project)
    return [chosen] if chosen == local or not database(project).exists() else [chosen, local]
