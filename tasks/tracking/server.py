"""Where MLflow keeps its records: a server if one is named and answers, else a local SQLite file; and how to reach it.

MLflow takes seconds to import, so nothing here does until it must. Nothing is bound to a process either: a server that
has called `preload` may fork, and every child opens its own connections.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from importlib import import_module
from pathlib import Path
from typing import Any

from tasks.process import locks
from tasks.process.files import whole_file
from tasks.project.project import Project

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
LOCKED_SECONDS = 120.0
_said: set[str] = set()


def preload() -> None:
    """Imports all of MLflow that a stage uses; opens no database and starts no thread, so a fork may follow."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for module in MODULES:
        import_module(module)

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # It prints a trace for each "database is locked", which `call` waits out; what lasts is raised anyway.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


def database(project: Project) -> Path:
    return project.state / "mlflow.db"


def local_uri(project: Project) -> str:
    return f"sqlite:///{database(project)}"


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


def say_once(line: str) -> None:
    if line not in _said:
        _said.add(line)
        print(line, file=sys.stderr, flush=True)


def connect(project: Project, uri: str) -> Any:
    """An MlflowClient of tracking and registry. A SQLite file that is not there yet is made."""
    preload()
    from mlflow import MlflowClient

    if uri.startswith("sqlite:///"):
        _ensure_database(project, Path(uri.removeprefix("sqlite:///")))
    return call(MlflowClient, uri, uri)


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
                place = None if is_server(client.tracking_uri) else _artifacts(project)
                return str(call(client.create_experiment, EXPERIMENT, artifact_location=place))
    if found.lifecycle_stage != "active":
        call(client.restore_experiment, found.experiment_id)
    return str(found.experiment_id)


def locked(project: Project) -> AbstractContextManager[None]:
    """Holds the project's lock on its MLflow records; the system frees it when the holder dies."""
    return locks.held(project.lock("mlflow"), wait=None)


def call(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Calls, again and again for two minutes, while another process holds the SQLite file."""
    import random

    patience = time.monotonic() + LOCKED_SECONDS
    while True:
        try:
            return function(*arguments, **keywords)
        except Exception as error:
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


def _artifacts(project: Project) -> str:
    return (project.state / "mlruns").as_uri()


def _ensure_database(project: Project, path: Path) -> None:
    """Builds the file under another name: a kill in the midst of MLflow's migrations would leave half a schema."""
    if path.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with locked(project):
        if path.exists():
            return
        with whole_file(path) as temporary:
            store = SqlAlchemyStore(f"sqlite:///{temporary}", _artifacts(project))
            store.create_experiment(EXPERIMENT, artifact_location=_artifacts(project))
            store.engine.dispose()
