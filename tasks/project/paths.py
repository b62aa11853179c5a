"""Paths of all outputs: the only module with the names of folders and files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

WORK = "COVEY_WORK"
"""Environment variable: the folder of all work folders, if the project's own is temporary (points of a sweep)."""

COSTS = "COVEY_COSTS"
"""Environment variable: the folder of the stages' costs, for the same reason."""

PARAMETERS = "params.yaml"
CURVES, TABLES = "curves.json", "tables.json"
"""What a protocol leaves beside its pictures."""
PIPELINE = "dvc.yaml"
LOCK = "dvc.lock"
CODE = "code.json"
REPORT = "results/report.html"
SCORES = "results/scores.csv"
RUNS = "results/runs.csv"
COST_TABLE = "results/costs.csv"
MODELS = "results/dvc.yaml"
INCOMPLETE_SCORES = "incomplete_scores.csv"
"""The scores of a report of what there is, in the folder of everything that is not an output."""

TRAINING = "training"
"""The name of a training's record, and of the folder of its pictures. No protocol may have this name."""

SWEEPS = "results/sweeps"
STUDIES = "results/studies"
DONE = "done"
"""A file of this name in a work folder marks that the stage is complete."""

NOT_APPLICABLE = "NOT_APPLICABLE"
"""A file of this name in an output folder contains the reason why the folder has no other file."""
MEASURED = "curves"
"""The folders of this name hold tables for `dvc plots`, which draws every file in them."""


def report_of(data: str) -> str:
    """The page of a data set that is kept beside those of others."""
    return f"results/report.{data}.html"


@dataclass(frozen=True)
class Places:
    """Paths of the outputs of one data set. root: the folder with dvc.yaml."""

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

    @property
    def maps(self) -> Path:
        """The folder of the maps of the data set: coordinates, clusters, neighbours and thumbnails."""
        return self.root / "maps" / self.data

    def curves(self, run: str) -> Path:
        """The folder of what was measured during a training, for `dvc plots`."""
        return self.root / "runs" / self.data / run / MEASURED

    def metric(self, run: str, name: str) -> Path:
        return self.metrics / run / name

    def findings(self, run: str, protocol: str) -> Path:
        """The folder of the plots of a protocol."""
        return self.metrics / run / protocol

    def shown(self, run: str) -> Path:
        """The folder of the pictures that a training has to show."""
        return self.metrics / run / TRAINING

    @property
    def preparation(self) -> Path:
        """The facts about the data set that its preparation records."""
        return self.metrics / "prepare.json"

    @property
    def pictures(self) -> Path:
        """The folder of example pictures of the data set."""
        return self.metrics / "pictures"
