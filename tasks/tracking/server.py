"""Where MLflow keeps its records: a server if one is named and answers, else a local SQLite file; and how to reach it.

MLflow takes seconds to import, so nothing here does until it must. Nothing is bound to a process either: a server that
has called `preload` may fork, and every child opens its own connections.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tasks.process import locks, sqlite_file, stopping
from tasks.process.files import whole_file
from tasks.process.identity import is_local
from tasks.process.said import say_once
from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.tracking import local_records

EXPERIMENT = "covey"
SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # A connection that is not kept cannot be inherited by a fork, which SQLite forbids. Opening one costs 1 ms.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
    # The default of 7 tries keeps a stage waiting for four minutes on a server that has gone.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
MODULES = (
    "mlflow.artifacts",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",  # 2 s more, and MLflow itself imports it only when a client is made
)
WITHOUT_SCHEME = ("databricks", "databricks-uc", "uc")
"""Addresses of MLflow's that look like a folder's name."""
LOCKED_SECONDS = 120.0
_usable: set[Path] = set()


def preload() -> None:
    """Imports all of MLflow that a stage uses; opens no database and starts no thread, so a fork may follow."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for module in MODULES:
        import_module(module)
    local_records.schema()

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It prints a trace for each "database is locked", which `call` waits out; what lasts is raised anyway.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def database(project: Project) -> Path:
    return project.state / "mlflow.db"


def local_uri(project: Project) -> str:
    """The address of the project's own file of records."""
    return sqlite_file.address(database(project))


def is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def reachable(uri: str, seconds: float = 3.0) -> bool:
    """Whether a server answers within `seconds`, with whatever but an error of its own; a file always does."""
    if not is_server(uri):
        return True
    answers: list[bool] = []
    # In a thread, because the look-up of a host's name knows no time limit.
    thread = threading.Thread(target=lambda: answers.append(_answers(uri, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return any(answers)


def _answers(uri: str, seconds: float) -> bool:
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=seconds):
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500  # a server that wants a password, or has no such page, is there
    except OSError:
        return False


def choose_uri(project: Project) -> str:
    """MLFLOW_TRACKING_URI, or the local file where that is unset or names a server that does not answer."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        return local_uri(project)
    if reachable(uri):
        return uri
    say_once(f"MLflow server {uri} does not answer; recording in {database(project)} instead")
    return local_uri(project)


def connect(project: Project, uri: str) -> Any:
    """An MlflowClient of tracking and registry. A SQLite file that is not there yet is made.

    Raises:
        ParameterError: the records there cannot be used.
    """
    refuse_unusable(project, uri)
    preload()
    from mlflow import MlflowClient

    if (path := sqlite_file.path_of(uri)) is not None:
        _ensure_database(project, path)
    return call(MlflowClient, uri, uri)


def refuse_unusable(project: Project, uri: str) -> None:
    """Looks at records before anything reads or writes them, without importing MLflow.

    Records of the project that was moved or copied are told where they are now.

    Raises:
        ParameterError: the records are in a place, a file or a schema that MLflow cannot use.
    """
    if urlsplit(uri).scheme in ("", "file") and uri not in WITHOUT_SCHEME:
        raise ParameterError(
            f"MLFLOW_TRACKING_URI={uri} is a folder, and MLflow has kept no records in folders since 3.13. Unset it, "
            f"and Covey records in {database(project)}; or give a server's address, or sqlite:///FILE. `mlflow "
            f"migrate-filestore --source {uri} --target sqlite:///FILE` takes the records of a folder into a new file."
        )
    path = sqlite_file.path_of(uri)
    if path is not None and path not in _usable and path.exists():
        local_records.refuse_unusable(path)
        _usable.add(path)
    settle_places(project, uri)


def settle_places(project: Project, uri: str) -> None:
    """Has the project's own records name its own folder of artifacts, if they came from elsewhere with the project.

    Called before artifacts are read or written, not once a process: one project may lie at two paths at a time, as
    outside and inside of a container.
    """
    if uri == local_uri(project) and _holds(database(project)):
        before = call(local_records.settle_places, database(project), artifacts(project))
        if before is not None:
            folder = Path(unquote(urlsplit(before).path.removesuffix(local_records.SUFFIX)))
            say_once(f"This project was in {folder} before; MLflow's records now name {project.root} in its place.")


def is_alone(uri: str) -> bool:
    """Whether only processes of this machine record at an address: in a file on one of its own disks."""
    path = sqlite_file.path_of(uri)
    return path is not None and is_local(path)


def initialise(project: Project) -> str:
    """Makes the database, where it is a local one, and the experiment; gives the address. Call it before a fan-out.

    Any number of processes may call it at once; it costs 1.5 s the first time and milliseconds after.
    """
    uri = choose_uri(project)
    experiment_id(project, connect(project, uri))
    return uri


def experiment_id(project: Project, client: Any) -> str:
    """The experiment's id; it is created where it is missing."""
    found = call(client.get_experiment_by_name, EXPERIMENT)
    if found is None:
        with locked(project):
            found = call(client.get_experiment_by_name, EXPERIMENT)
            if found is None:
                place = None if is_server(client.tracking_uri) else artifacts(project)
                return str(call(client.create_experiment, EXPERIMENT, artifact_location=place))
    if found.lifecycle_stage != "active":
        call(client.restore_experiment, found.experiment_id)
    return str(found.experiment_id)


def locked(project: Project) -> AbstractContextManager[None]:
    """Holds the project's lock on its MLflow records; the system frees it when the holder dies."""
    return locks.held(project.lock("mlflow"), wait=None)


def call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Calls, again and again for two minutes, while another process holds the SQLite file.

    Raises:
        ParameterError: the file itself is damaged, or the server wants to know who asks.
    """
    import random

    patience = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            with stopping.held():  # a transaction that is cut off keeps the file locked: no run could be closed
                return function(*arguments, **keywords)
        except Exception as error:
            uri = getattr(getattr(function, "__self__", None), "tracking_uri", "")
            if sqlite_file.is_damage(error):
                raise _damaged(uri) from error
            if (refused := re.search(r"failed with error code (401|403) ", str(error))) is not None:
                raise ParameterError(
                    f"the MLflow server at {uri}, which MLFLOW_TRACKING_URI names, does not let this user in (HTTP "
                    f"{refused[1]}). Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                    f"MLFLOW_TRACKING_TOKEN; or unset MLFLOW_TRACKING_URI, and Covey records in a file of its own."
                ) from error
            if "database is locked" not in str(error) or time.monotonic() > patience:
                raise
        time.sleep(random.SystemRandom().uniform(0.02, 0.2))


def running(project: Project) -> bool:
    """Whether the local file holds a RUNNING run; asked of SQLite itself, since importing MLflow takes seconds."""
    import sqlite3

    if not database(project).exists():
        return False
    try:
        with closing(sqlite3.connect(database(project), timeout=20)) as connection:
            return connection.execute("SELECT 1 FROM runs WHERE status = 'RUNNING' LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return True  # not for this function to judge: MLflow will say what is wrong


def artifacts(project: Project) -> str:
    """The address of the folder of artifacts, as runs in the project's own file of records name it."""
    return (Project(project.root.resolve()).state / "mlruns").as_uri()


def _holds(path: Path) -> bool:
    """Whether there is anything in a file; SQLite takes an empty one for a database without tables."""
    return path.exists() and path.stat().st_size > 0


def _damaged(uri: str) -> ParameterError:
    path = sqlite_file.path_of(uri)
    if path is None:
        return ParameterError("MLflow's records are damaged.")
    fault = sqlite_file.Fault.DAMAGED
    return ParameterError(f"{path}, which holds MLflow's records, {fault.value}. {local_records.way_out(path, fault)}")


def _ensure_database(project: Project, path: Path) -> None:
    """Builds the file under another name: a kill in the midst of MLflow's migrations would leave half a schema."""
    if _holds(path):
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with locked(project):
        if _holds(path):
            return
        with whole_file(path) as temporary:
            store = SqlAlchemyStore(sqlite_file.address(temporary), artifacts(project))
            store.create_experiment(EXPERIMENT, artifact_location=artifacts(project))
            store.engine.dispose()
