"""A project: its folder, the settings in its params.yaml, and where its files lie. Read once a process, and passed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.process.files import state_of, whole_file
from tasks.project import paths
from tasks.project.paths import Places
from tasks.settings import params
from tasks.settings.kinds import SWEEP_FILES
from tasks.settings.schema import ParameterError


@dataclass(frozen=True)
class Project:
    """The folder `root`, which holds dvc.yaml and params.yaml, and all that lies in it."""

    root: Path

    @classmethod
    def find(cls) -> Project:
        """The project of the working folder: this folder or the nearest one above that holds dvc.yaml.

        Raises:
            ParameterError: there is none.
        """
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / paths.PIPELINE).exists():
                return cls(folder)
        raise ParameterError(f"there is no dvc.yaml in {here} or above it; go to the project's folder first.")

    @classmethod
    def given(cls, root: Path, parameters: dict[str, Any]) -> Project:
        """A project whose parameters are not those of its file: another process has read and checked them."""
        project = cls(root)
        project.__dict__["parameters"] = parameters
        return project

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The checked content of params.yaml, as it was at the first look. Raises ParameterError.

        A text that has been checked against this code is not checked again.
        """
        content, mark = params.read(self.root), self.state / "checked"
        key = self._key(content)
        if not mark.exists() or mark.read_text() != key:
            params.check(content, self.root)
            with whole_file(mark) as temporary:
                temporary.write_text(key)
        return content

    def _key(self, content: Any) -> str:
        """A hash of what a check of params.yaml depends on."""
        states = [state_of(path) for path in (params.CODE, params.CODE.parent / "tasks" / "settings")]
        sweeps = sorted(path.name for path in (self.root / SWEEP_FILES).glob("*.yaml"))
        pipeline = (self.root / paths.PIPELINE).read_text() if (self.root / paths.PIPELINE).exists() else ""
        return hashlib.sha256(json.dumps([content, states, sweeps, pipeline], default=str).encode()).hexdigest()

    def reread(self) -> Project:
        """The project with params.yaml as it is now."""
        return Project(self.root)

    @property
    def places(self) -> Places:
        """Where the outputs of the data set that is worked on lie."""
        return Places(self.root, self.parameters["data"]["name"])

    def target(self, name: str) -> Path:
        """The data that a target's protocol is measured on."""
        return self.root / "data" / "targets" / name

    @property
    def state(self) -> Path:
        """State that is no output: checkpoints, logs, locks, the local databases."""
        return self.root / ".covey"

    def work(self, stage: str, key: str) -> Path:
        """A stage's private folder for one set of inputs: it outlives a kill, and DVC does not know of it."""
        return Path(os.environ.get(paths.WORK) or self.state / "work") / stage / key[:16]

    def costs(self, stage: str, data: str | None = None) -> Path:
        """The seconds and bytes that a stage's last run took; DVC does not know of them, since they always differ.

        data: the data set, if not the one that is worked on.
        """
        folder = Path(os.environ.get(paths.COSTS) or self.state / "costs")
        return folder / (data or self.places.data) / f"{stage}.json"

    def log(self, stage: str) -> Path:
        """A stage's log; its folder is made."""
        path = self.state / "logs" / f"{stage}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self, name: str) -> Path:
        """A file to lock with `tasks.process.locks.held`."""
        return self.state / "locks" / f"{name}.lock"

    def forget_work(self, stage: str, *, only_done: bool = False) -> None:
        """Drops the checkpoints of a stage, whatever its inputs were, or only those of trainings that have ended."""
        for folder in (self.state / "work" / stage).glob("*"):
            if not only_done or (folder / paths.DONE).exists():
                shutil.rmtree(folder, ignore_errors=True)
