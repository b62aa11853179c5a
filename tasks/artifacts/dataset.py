"""A prepared data set on disk: a few large arrays, and dataset.json. The only module that knows their names.

Arrays may be larger than memory: they are read a few rows at a time (ssl_models/rows.py).
"""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ssl_models.datasets._common.split import IMAGES, SOURCE
from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.rows import Samples, middle, open_rows
from tasks.artifacts.tables import read_table, write_table
from tasks.process import files

if TYPE_CHECKING:
    from torch import Tensor

    from ssl_models.datasets._common.split import Dataset, Origin, Split

LABELS, FACTORS, ORIGIN = "labels", "factors", "origin"


@dataclass(frozen=True)
class Stored:
    """The data set in a folder. split is "train" or "test" everywhere. Arrays stay in their files, labels do not."""

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

    def samples(self, split: str) -> dict[str, Samples]:
        """Part of a sample -> (N, ...), see ssl_models/datasets/_common/split.py; of larger pictures the middle."""
        shapes = self.shapes
        return {part: middle(stored, shapes[part]) for part, stored in self.whole(split).items()}

    def whole(self, split: str) -> dict[str, Samples]:
        """Part of a sample -> (N, ...) as stored, which may be larger than `shapes` says, for random crops."""
        return {part: self.array(split, part) for part in self.shapes}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Part of a sample -> its shape, as it is used."""
        return {part: tuple(shape) for part, shape in self.description["shapes"].items()}

    def origin(self, split: str) -> dict[str, list[Any]]:
        """Where each sample comes from: `file`, `width`, `height`, `group` -> (N,), as far as the reader tells them."""
        path = self._origin(split)
        return read_table(path) if path.exists() else {}

    @property
    def known(self) -> dict[str, Any]:
        """What the reader tells of the data: `rate`, `words`, `counts`."""
        found: dict[str, Any] = self.description.get("known", {})
        return found

    def sources(self, split: str) -> int | None:
        """How many videos or recordings the samples are cut from; None where that is not known."""
        return len(np.unique(np.asarray(self.array(split, SOURCE)))) if SOURCE in self.shapes else None

    def hand_on(self, folder: Path) -> None:
        """Copies the tables of where the samples come from, for outputs whose rows are those of the data set."""
        for split in ("train", "test"):
            path = self._origin(split)
            if path.exists():
                with files.whole_file(folder / path.name) as temporary:
                    shutil.copyfile(path, temporary)

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

    def array(self, split: str, kind: str) -> Samples:
        """Samples, or annotations of a kind (ssl_models/datasets/_common/split.py). Raises NeedsTruth."""
        path = self._path(split, kind)
        if not path.exists():
            raise NeedsTruth(f"the data set '{self.folder.name}' has no {kind}")
        with files.legible(path):
            return open_rows(path)

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
            "shapes": {part: _used(part, stored, dataset.size) for part, stored in dataset.train.parts.items()},
            "classes": list(dataset.classes),
            "labelled": dataset.train.labels is not None,
            "skipped": list(dataset.skipped),
        }
        left_out = [asdict(entry) for entry in dataset.left_out]
        summary |= {"left_out": left_out} if left_out else {}
        known: dict[str, Any] = {"points": list(dataset.points)} if dataset.points else {}
        known |= {"known": dataset.known} if dataset.known else {}
        known |= {"label_sets": {n: list(c) for n, c in dataset.label_sets.items()}} if dataset.label_sets else {}
        files.write_json(self.folder / "dataset.json", summary | known)
        return summary

    def _write_split(self, name: str, split: Split) -> None:
        tensors = split.parts | ({} if split.labels is None else {LABELS: split.labels}) | split.truth
        for kind, tensor in tensors.items():
            if kind in split.written:
                continue
            with files.whole_file(self._path(name, kind)) as temporary, open(temporary, "wb") as file:
                np.save(file, tensor.numpy())
        path = self.folder / f"{name}.{FACTORS}.npz"
        with files.whole_file(path) as temporary, open(temporary, "wb") as file:
            arrays = {factor: values.numpy() for factor, values in split.factors.items()}
            np.savez(file, **arrays)  # type: ignore[arg-type]
        if split.origin is not None:
            _write_origin(self._origin(name), split.origin)

    def _origin(self, split: str) -> Path:
        return self.folder / f"{split}.{ORIGIN}.parquet"

    def _path(self, split: str, kind: str) -> Path:
        return self.folder / f"{split}.{kind}.npy"


def _used(part: str, stored: Tensor, size: int | None) -> list[int]:
    """The shape of a part as it is used, of a data set whose pictures are used at `size`."""
    return [*stored.shape[1:-2], size, size] if size and part == IMAGES else list(stored.shape[1:])


def _write_origin(path: Path, origin: Origin) -> None:
    """A table of one row a sample: file, width, height, group, as far as they are known."""
    columns: dict[str, Any] = {"file": list(origin.files)}
    if origin.sizes is not None:
        columns |= {"width": origin.sizes[:, 0].numpy(), "height": origin.sizes[:, 1].numpy()}
    write_table(path, columns | ({"group": list(origin.groups)} if origin.groups else {}))
