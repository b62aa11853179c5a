"""A project: its folder, its parameters and its paths. A process reads the parameters once and passes the object on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.process.files import state_of, whole_file
from tasks.project import paths
from tasks.project.paths import Places
from tasks.settings import encoders, params
from tasks.settings.schema import CODE, ParameterError
from tasks.settings.stage_kinds import SWEEP_FILES


@dataclass(frozen=True)
class Project:
    """The project in the folder `root`, which contains dvc.yaml and params.yaml."""

    root: Path

    @classmethod
    def find(cls) -> Project:
        """The project of the working directory: the directory itself or its nearest parent that contains dvc.yaml.

        Raises:
            ParameterError: there is no dvc.yaml.
        """
        here = Path.cwd()
        for folder in (here, *here.parents):
            if (folder / paths.PIPELINE).exists():
                return cls(folder)
        raise ParameterError(f"there is no dvc.yaml in {here} or above it; go to the project's folder first.")

    @classmethod
    def given(cls, root: Path, parameters: dict[str, Any]) -> Project:
        """A project with these parameters in place of its params.yaml; the caller has checked them."""
        project = cls(root)
        project.__dict__["parameters"] = parameters
        return project

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The checked content of params.yaml, read at the first access. Raises ParameterError.

        The check is skipped if the same content has passed it before, with the same code.
        """
        content, mark = params.read(self.root), self.state / "checked"
        key = self._key(content)
        if not mark.is_file() or mark.read_bytes() != key.encode():
            params.check_parameters(content, self.root)
            # Without a mark the next process checks again: a user who may only read can still see the report.
            with suppress(PermissionError), whole_file(mark) as temporary:
                temporary.write_text(key)
        return content

    def _key(self, content: Any) -> str:
        """A hash of everything that the check of params.yaml depends on."""
        states = [state_of(path) for path in (CODE, CODE.parent / "tasks" / "settings")]
        states += [str(path.exists()) for path in encoders.weight_files(self.root, content).values() if path]
        sweeps = sorted(path.name for path in (self.root / SWEEP_FILES).glob("*.yaml"))
        path = self.root / paths.PIPELINE
        pipeline = path.read_text(errors="replace") if path.is_file() else ""
        return hashlib.sha256(json.dumps([content, states, sweeps, pipeline], default=str).encode()).hexdigest()

    def reread(self) -> Project:
        """The same project, which will read params.yaml again."""
        return Project(self.root)

    @property
    def places(self) -> Places:
        """Paths of the outputs of the selected data set."""
        return Places(self.root, self.parameters["data"]["name"])

    def target(self, name: str) -> Path:
        """The folder of a target's data."""
        return self.root / "data" / "targets" / name

    @property
    def state(self) -> Path:
        """The folder of everything that is not an output: checkpoints, logs, locks, databases."""
        return self.root / ".covey"

    def work(self, stage: str, key: str) -> Path:
        """A stage's work folder for one set of inputs. DVC does not track it, and it stays when the stage is killed."""
        return Path(os.environ.get(paths.WORK) or self.state / "work") / stage / key[:16]

    def costs(self, stage: str, data: str | None = None) -> Path:
        """The file with the time and memory that a stage's last run took. DVC does not track it: the numbers vary.

        data: the data set; by default the selected one.
        """
        folder = Path(os.environ.get(paths.COSTS) or self.state / "costs")
        return folder / (data or self.places.data) / f"{stage}.json"

    def log(self, stage: str) -> Path:
        """The path of a stage's log. Creates its folder."""
        path = self.state / "logs" / f"{stage}.log"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self, name: str) -> Path:
        """The path of a lock file for `tasks.process.locks.held`."""
        return self.state / "locks" / f"{name}.lock"

    def forget_work(self, stage: str, *, only_done: bool = False) -> None:
        """Deletes all work folders of a stage. only_done: only those in which the stage is complete."""
        for folder in (self.state / "work" / stage).glob("*"):
            if not only_done or (folder / paths.DONE).exists():
                shutil.rmtree(folder, ignore_errors=True)

    def forget_finished(self, except_for: Collection[str]) -> None:
        """Deletes the work folders in which stages are complete: a kill right after DVC's record leaves them.

        except_for: stages that will run; they take over what is complete.
        """
        for folder in (self.state / "work").glob("*"):
            if folder.name not in except_for:
                self.forget_work(folder.name, only_done=True)
