"""Where everything lies: the only module that knows the names of folders and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WORK = "COVEY_WORK"
"""Environment variable: the folder of all work folders, where the project's own will not last (points of a sweep)."""

COSTS = "COVEY_COSTS"
"""Environment variable: the folder of the stages' costs, likewise."""

PARAMETERS = "params.yaml"
PIPELINE = "dvc.yaml"
LOCK = "dvc.lock"
CODE = "code.json"
REPORT = "results/report.html"
SCORES = "results/scores.csv"
RUNS = "results/runs.csv"
COST_TABLE = "results/costs.csv"
TRAINING = "training"
"""The name of a training's record; no protocol has it."""

SWEEPS = "results/sweeps"
STUDIES = "results/studies"
DONE = "done"
"""A file of this name in a work folder says that the stage came to its end there."""

NOT_APPLICABLE = "NOT_APPLICABLE"
"""A file of this name in an output folder says, in its text, why there is nothing else in it."""


@dataclass(frozen=True)
class Places:
    """Where the outputs of one data set lie; `root` is the folder that holds dvc.yaml."""

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

    @property
    def preparation(self) -> Path:
        """What is known of the data set once it is prepared."""
        return self.metrics / "prepare.json"

    @property
    def pictures(self) -> Path:
        """The folder of pictures of the data set."""
        return self.metrics / "pictures"
