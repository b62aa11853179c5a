"""Versions of models in the project's own MLflow registry, and which of them nothing needs.

Needed are the newest version of each name, which is the result that there is now, and every version with an alias.
They are read from the database itself, since importing MLflow takes seconds.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tasks.project.project import Project
from tasks.tracking.registry import ARTIFACT
from tasks.tracking.server import call, connect, database, local_uri

VERSIONS = """
SELECT v.name, v.version, v.run_id,
       v.version = (SELECT max(w.version) FROM model_versions w WHERE w.name = v.name)
       OR EXISTS (SELECT 1 FROM registered_model_aliases a WHERE a.name = v.name AND a.version = v.version)
FROM model_versions v WHERE v.current_stage != 'Deleted_Internal' AND v.run_id IS NOT NULL
"""
ANOTHER = (
    "SELECT run_id FROM model_versions WHERE current_stage != 'Deleted_Internal' GROUP BY run_id HAVING count(*) > 1"
)


@dataclass(frozen=True)
class Version:
    """One version. folder: its files, in the artifacts of its run."""

    name: str
    version: int
    folder: Path
    needed: bool


def versions(project: Project) -> list[Version]:
    """Every version whose files lie in the project; none where there is no registry, or none that can be read."""
    path = database(project)
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=20)) as records:
            rows = records.execute(VERSIONS).fetchall()
            several = {run for (run,) in records.execute(ANOTHER)}
    except sqlite3.Error:
        return []
    folders = project.state / "mlruns"
    found = [
        Version(str(name), int(version), folders / run / "artifacts" / ARTIFACT, bool(needed) or run in several)
        for name, version, run, needed in rows
    ]
    return [one for one in found if one.folder.is_dir()]


def forget(project: Project, names: Sequence[tuple[str, int]]) -> None:
    """Takes versions out of the registry; their runs, with settings and metrics, stay. Called apart."""
    client = connect(project, local_uri(project))
    for name, version in names:
        call(client.delete_model_version, name, str(version))
