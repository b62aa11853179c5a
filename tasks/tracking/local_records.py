"""MLflow's records in an SQLite file: whether they can be used, and the places of artifacts that they name.

Nothing here imports MLflow, which takes seconds.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from tasks.process import sqlite_file
from tasks.process.sqlite_file import Fault, Schema
from tasks.settings.schema import ParameterError

SUFFIX = "/.covey/mlruns"
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
    ("trace_tags", "value"),
)
"""Where MLflow keeps absolute places. Covey fills the first three, its users' own calls the others."""


def schema() -> Schema:
    """The schemas that the installed MLflow knows."""
    return sqlite_file.schema("mlflow", "store/db_migrations/versions")


def refuse_unusable(path: Path) -> None:
    """Says what is wrong with a file of records, if it is there, and how to mend it.

    It is never put aside here: runs, curves and notes of the user are in it and nowhere else.

    Raises:
        ParameterError: it cannot be read and written, or another version of MLflow has written it.
    """
    if path.exists() and (fault := sqlite_file.fault(path, schema())) is not None:
        raise ParameterError(f"{path}, which holds MLflow's records, {fault.value}. {way_out(path, fault)}")


def way_out(path: Path, fault: Fault) -> str:
    """What the user can do about a fault of the file, and what it costs."""
    aside = (
        f"move it aside (`mv {path} {path}.aside`): Covey then starts new records, and outputs, scores and checkpoints "
        "stay; MLflow's page no longer shows the earlier runs, and load_encoder finds only encoders trained from then "
        "on."
    )
    if fault is Fault.DENIED:
        return f"Run as its owner, or give user {os.getuid()} the right to write it and its folder."
    if fault is Fault.FOREIGN:
        return f"If Covey is to use this file, {aside}"
    if fault is Fault.OLDER:
        return f"Copy it, then bring it up to date: mlflow db upgrade '{sqlite_file.address(path)}'. Or {aside}"
    if fault is Fault.NEWER:
        return f"Install the version of MLflow that wrote it. Or {aside}"
    return f"Restore it from a copy, or {aside}"


def settle_places(path: Path, artifacts: str) -> str | None:
    """Has records that came with a moved or copied project name the artifacts of the project where it is now.

    One query where nothing is to be done, one transaction where there is. Only this file is written: a copy leaves
    the original as it is.

    artifacts: the address of the project's folder of artifacts.

    Returns the folder that was named before, None where nothing was to be done.
    """
    with closing(sqlite3.connect(path, timeout=sqlite_file.TIMEOUT_SECONDS, isolation_level=None)) as records:
        if _strange(records, artifacts) is None:
            return None
        records.execute("BEGIN IMMEDIATE")
        old = _strange(records, artifacts)  # another process may have been first
        if old is not None:
            tables = {name for (name,) in records.execute("SELECT name FROM sqlite_master")}
            for table, column in COLUMNS:
                if table in tables:
                    records.execute(
                        f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                        f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                        {"old": old, "new": artifacts},
                    )
        records.execute("COMMIT")
    return old


def _strange(records: sqlite3.Connection, artifacts: str) -> str | None:
    """The folder of artifacts of a project elsewhere that new runs would be written to."""
    if records.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone() is None:
        return None
    found = records.execute("SELECT artifact_location FROM experiments WHERE name = 'covey'").fetchone()
    place = str(found[0]) if found is not None else artifacts
    return place if place != artifacts and place.startswith("file:") and place.endswith(SUFFIX) else None
