"""A prepared data set on disk: a few large arrays, and dataset.json. The only module that knows their names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_models.errors import NeedsLabels, NeedsTruth
from tasks.process import files

if TYPE_CHECKING:
    from ssl_models.datasets._common.split import Dataset, Split

LABELS, FACTORS = "labels", "factors"


@dataclass(frozen=True)
class Stored:
    """The data set in a folder. split is "train" or "test" everywhere; arrays are memory-mapped, labels are not."""

    folder: Path

    @property
    def description(self) -> dict[str, Any]:
        """Counts, the shapes of a sample's parts, the names of classes and points, and what was skipped."""
        content: dict[str, Any] = files.read_json(self.folder / "dataset.json")
        return content

    @property
    def prepared(self) -> bool:
        """Whether the data set is there."""
        return (self.folder / "dataset.json").exists()

    def samples(self, split: str) -> dict[str, np.ndarray]:
        """Part of a sample -> (N, ...) as stored, see ssl_models/datasets/_common/split.py."""
        return {part: self.array(split, part) for part in self.shapes}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Part of a sample -> its shape."""
        return {part: tuple(shape) for part, shape in self.description["shapes"].items()}

    @property
    def known(self) -> dict[str, Any]:
        """What the reader tells of the data: `rate`, `words`, `counts`."""
        found: dict[str, Any] = self.description.get("known", {})
        return found

    def labels(self, split: str) -> np.ndarray:
        """(N,) int64. Raises NeedsLabels where the data have none."""
        path = self._path(split, LABELS)
        if not path.exists():
            raise NeedsLabels(f"the data set '{self.folder.name}' has no labels")
        with files.legible(path):
            return np.asarray(np.load(path))

    def labels_or_none(self, split: str) -> np.ndarray | None:
        """(N,) int64, or None where the data have none."""
        return self.labels(split) if self._path(split, LABELS).exists() else None

    def array(self, split: str, kind: str) -> np.ndarray:
        """Samples, or annotations of a kind (ssl_models/datasets/_common/split.py). Raises NeedsTruth."""
        path = self._path(split, kind)
        if not path.exists():
            raise NeedsTruth(f"the data set '{self.folder.name}' has no {kind}")
        with files.legible(path):
            return np.load(path, mmap_mode="r")

    def factors(self, split: str) -> dict[str, np.ndarray]:
        """Name -> (N,) or (N, k) of each factor that is known. Raises NeedsTruth where none is."""
        path = self.folder / f"{split}.{FACTORS}.npz"
        with files.legible(path), np.load(path) as known:
            found = {factor: known[factor] for factor in known.files}
        if not found:
            raise NeedsTruth(f"the data set '{self.folder.name}' has no factors")
        return found

    def write(self, dataset: Dataset) -> dict[str, Any]:
        """Writes both splits and dataset.json, whose content it gives."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            self._write_split(name, split)
        summary = {
            "train": len(dataset.train),
            "test": len(dataset.test),
            "shapes": {part: list(stored.shape[1:]) for part, stored in dataset.train.parts.items()},
            "classes": list(dataset.classes),
            "labelled": dataset.train.labels is not None,
            "skipped": list(dataset.skipped),
        }
        known: dict[str, Any] = {"points": list(dataset.points)} if dataset.points else {}
        known |= {"known": dataset.known} if dataset.known else {}
        known |= {"label_sets": {n: list(c) for n, c in dataset.label_sets.items()}} if dataset.label_sets else {}
        files.write_json(self.folder / "dataset.json", summary | known)
        return summary

    def _write_split(self, name: str, split: Split) -> None:
        tensors = split.parts | ({} if split.labels is None else {LABELS: split.labels}) | split.truth
        for kind, tensor in tensors.items():
            with files.whole_file(self._path(name, kind)) as temporary, open(temporary, "wb") as file:
                np.save(file, tensor.numpy())
        path = self.folder / f"{name}.{FACTORS}.npz"
        with files.whole_file(path) as temporary, open(temporary, "wb") as file:
            arrays = {factor: values.numpy() for factor, values in split.factors.items()}
            np.savez(file, **arrays)  # type: ignore[arg-type]

    def _path(self, split: str, kind: str) -> Path:
        return self.folder / f"{split}.{kind}.npy"
