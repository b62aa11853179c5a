"""Stages that DVC has called up to date and of which nothing has been touched since: DVC need not be asked again.

.covey/fresh.json holds one signature a stage: its command, the values of its parameters, its entry of dvc.lock, and for
each file that it reads or writes what the system changes whenever the file changes (size, times, inode). It is taken
before DVC is asked, and kept if DVC finds nothing changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.process import files
from tasks.project import paths
from tasks.project.project import Project
from tasks.settings import encoders
from tasks.staleness import code_hash, lock_file, source_files
from tasks.staleness.declaration import value
from tasks.staleness.graph import Stage

Signatures = dict[str, str]
SOURCES = ("ssl_models", "tasks")


class Looker:
    """One look at a project: every file and folder is looked at once, whoever asks."""

    def __init__(self, project: Project, code: Mapping[str, Any]) -> None:
        self._root, self._parameters, self._code = project.root, project.parameters, code
        self._seen: dict[str, str] = {}
        try:
            self._lock = lock_file.entry_texts(project.root / paths.LOCK)
        except lock_file.OddLockFile:
            self._lock = {}

    def signature(self, stage: Stage) -> str | None:
        """A hash of all that DVC's answer for this stage depends on; None for a stage that dvc.lock does not know."""
        if stage.name not in self._lock:
            return None
        content = [
            stage.command,
            {key: value(self._parameters, key) for key in stage.parameters},
            {key: value(self._code, key) for key in stage.code},
            self._lock[stage.name],
            {path: self._look(path) for path in (*stage.paths, *stage.outputs)},
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _look(self, path: str) -> str:
        if path not in self._seen:
            self._seen[path] = files.state_of(self._root / path)
        return self._seen[path]


def of_sources(project: Project) -> str:
    """A hash of all that code.json depends on, and of that file itself."""
    places = (*SOURCES, paths.PARAMETERS, paths.CODE)
    states = [files.state_of(project.root / path) for path in places]
    states += [source_files.state(project, block) for block in code_hash.read_from(project.parameters).values()]
    weights = encoders.weight_files(project.root, project.parameters)
    states += [source_files.state(project, {"source": str(path)}) for path in weights.values() if path is not None]
    return hashlib.sha256("|".join(states).encode()).hexdigest()


def remembered(project: Project) -> Signatures:
    """The signatures that DVC has last called up to date."""
    return files.remembered(_memory(project))


def remember(project: Project, known: Signatures, fresh: Mapping[str, str | None], stale: Collection[str]) -> None:
    """Adds what DVC has just said: signatures of stages found up to date, and names of those that are not."""
    new = known | {name: text for name, text in fresh.items() if text is not None}
    new = {name: text for name, text in new.items() if name not in stale}
    if new != remembered(project):
        files.write_json(_memory(project), new)


def _memory(project: Project) -> Path:
    return project.state / "fresh.json"
