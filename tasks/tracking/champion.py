"""The champion of a data set in MLflow's model registry: the encoder that the verdict names.

The registered model `photos` has a version for each encoder that has ever led on the data set `photos`, and its alias
`champion` is at the one that leads now: `models:/photos@champion`. Where none passes the untrained floor there is no
champion. A version is that of the run's own model (`photos.simclr`) once more: nothing is stored twice.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tasks.project.project import Project
from tasks.tracking.pipeline_run import places
from tasks.tracking.registry import FILES_TAG, ensure_name, files_hash
from tasks.tracking.server import call, connect, locked

ALIAS = "champion"
MOST = 1000
"""Versions of one model that are looked through, newest first."""


def crown(project: Project, data: str, run: str, folder: Path, sentence: str) -> str:
    """Has `data`@champion be the encoder of `run`, which lies in `folder`; gives what the user should know, or "".

    Called again it changes nothing. A kill on the way leaves the alias where it was, and the next call ends the work.
    sentence: what the verdict says; the version is described by it.
    """
    model, found = f"{data}.{run}", files_hash(folder)
    for uri in places(project):
        client = connect(project, uri)
        own = _version_of(client, model, found)
        if own is None:
            continue
        with locked(project):
            version = _same_run(client, data, own.run_id)
            if version is None:
                ensure_name(client, data)
                tags = {"covey.run": run, FILES_TAG: found}
                version = call(client.create_model_version, data, own.source, own.run_id, tags=tags)
            if version.description != sentence:
                call(client.update_model_version, data, version.version, sentence)
            if _champion(client, data) != str(version.version):
                call(client.set_registered_model_alias, data, ALIAS, str(version.version))
        return ""
    return f"MLflow has no {model} with the weights of this project, so {data}@{ALIAS} stays as it is."


def depose(project: Project, data: str) -> str:
    """Takes the alias away, where there is one: no representation has a score, or none passes the floor. Gives ""."""
    for uri in places(project):
        client = connect(project, uri)
        if _champion(client, data):
            call(client.delete_registered_model_alias, data, ALIAS)
    return ""


def _version_of(client: Any, model: str, found: str) -> Any | None:
    """The newest version of a run's model with these files; else the newest that is from before files were noted."""
    versions = _versions(client, f"name = '{model}'")
    same = [version for version in versions if version.tags.get(FILES_TAG) == found]
    return next(iter(same or [version for version in versions if FILES_TAG not in version.tags]), None)


def _same_run(client: Any, name: str, run_id: str) -> Any | None:
    return next(iter(_versions(client, f"name = '{name}' and run_id = '{run_id}'")), None)


def _versions(client: Any, condition: str) -> list[Any]:
    return list(call(client.search_model_versions, condition, MOST, ["version_number DESC"]))


def _champion(client: Any, name: str) -> str:
    """The version's number that the alias is at, "" for none."""
    from mlflow.exceptions import MlflowException

    try:
        return str(call(client.get_registered_model, name).aliases.get(ALIAS, ""))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""
