"""A clustering on disk: the cluster of each sample, centroids, and soft outputs where a refit asks for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tasks.artifacts.tables import write_table
from tasks.process.files import legible, whole_file

ASSIGNMENTS, TARGETS = "assignments", "targets"


@dataclass(frozen=True)
class Clusters:
    """The clustering in a folder."""

    folder: Path

    @property
    def assignments(self) -> np.ndarray:
        """(N,) int64."""
        return self._read(ASSIGNMENTS)

    @property
    def targets(self) -> np.ndarray | None:
        """(N, K) logits of a teacher, or None."""
        return self._read(TARGETS) if self._path(TARGETS).exists() else None

    def write(self, arrays: Mapping[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            with whole_file(self._path(name)) as temporary, open(temporary, "wb") as file:
                np.save(file, array)

    def write_members(
        self, origin: Mapping[str, Sequence[Any]], assignments: np.ndarray, distances: np.ndarray
    ) -> None:
        """members.parquet: what is known of each sample's origin, its cluster, and its distance to the centre."""
        columns = {**origin, "cluster": assignments, "distance": distances}
        write_table(self.folder / "members.parquet", columns)

    def _read(self, name: str) -> np.ndarray:
        with legible(self._path(name)):
            return np.asarray(np.load(self._path(name)))

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.npy"
