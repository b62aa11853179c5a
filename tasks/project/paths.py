"""Where everything lies: the only module that knows paths, and how a file is written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WORK = "COVEY_WORK"
"""Names the folder of all work folders, where the project's own will not last, as in a point of a sweep."""

REPORT = "results/report.html"
SCORES = "results/scores.csv"
RUNS = "results/runs.csv"
CODE = "code.json"
TRAINING = "training"
"""The name of a training's record; no protocol has it."""

SWEEP_FILES, STUDY_FILES = "sweeps", "studies"
"""The folders of what `covey sweep` and `covey study` run."""

SWEEPS = "results/sweeps"
STUDIES = "results/studies"
DONE = "done"
"""A file of this name in a work folder says that the stage came to its end there."""

NOT_APPLICABLE = "NOT_APPLICABLE"
"""A file of this name in an output folder says, in its text, why there is nothing else in it."""


@dataclass(frozen=True)
class Store:
    """The paths of one project and one data set; `root` is the folder that holds dvc.yaml."""

    root: Path
    data: str

    @property
    def dataset(self) -> Path:
        return self.root / "data" / self.data

    @property
    def metrics(self) -> Path:
        return self.root / "metrics" / self.data

    def encoder(self, run: str) -> Path:
        return self.root / "runs" / self.data / run / "encoder"

    def features(self, run: str) -> Path:
        return self.root / "runs" / self.data / run / "features"

    def clusters(self, run: str) -> Path:
        return self.root / "runs" / self.data / run / "clusters"

    def metric(self, run: str, name: str) -> Path:
        return self.metrics / run / name

    def findings(self, run: str, protocol: str) -> Path:
        """The folder of a protocol's pictures and curves."""
        return self.metrics / run / protocol


def target_folder(root: Path, name: str) -> Path:
    """The data that a target's protocol is measured on."""
    return root / "data" / "targets" / name


def covey_folder(root: Path) -> Path:
    """State that is no output: checkpoints, logs, locks, the local databases."""
    return root / ".covey"


def work_folder(root: Path, stage: str, key: str) -> Path:
    """A stage's private folder for one set of inputs: it outlives a kill, and DVC does not know of it."""
    return Path(os.environ.get(WORK) or covey_folder(root) / "work") / stage / key[:16]


def log_file(root: Path, stage: str) -> Path:
    return covey_folder(root) / "logs" / f"{stage}.log"


def lock_file(root: Path, name: str) -> Path:
    path = covey_folder(root) / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def forget_work(root: Path, stage: str, *, only_done: bool = False) -> None:
    """Drops the checkpoints of a stage, whatever its inputs were, or only those of trainings that came to their end."""
    for folder in (covey_folder(root) / "work" / stage).glob("*"):
        if not only_done or (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)


def is_temporary(path: Path) -> bool:
    """Whether a kill left this file behind: `.name.PID.tmp`, never to be read."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; what is written there takes the name `path` only when it is complete.

    On an error, a full disk among them, the temporary file is removed and `path` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text())
