"""Extracted features on disk: one float16 array (N, D) a split and layer, SPLIT.LAYER.npy, and the layers' order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from tasks.process.files import legible, read_json, whole_file, write_json

POOLED = "pooled"
"""The encoder's own output; it comes after all layers (ssl_models/extraction.py)."""
ORDER = "layers.json"


@dataclass(frozen=True)
class Features:
    """The features in a folder."""

    folder: Path

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the layers, from the first to the last."""
        with legible(self.folder / ORDER):
            return tuple(read_json(self.folder / ORDER)["layers"])

    def read(self, split: str, layer: str) -> np.ndarray:
        """(N, D) float16, memory-mapped."""
        path = self._path(split, layer)
        with legible(path):
            return np.load(path, mmap_mode="r")

    def write(self, split: str, batches: Iterable[Mapping[str, np.ndarray]], samples: int) -> int:
        """Streams batches, layer -> (B, D), into one file a layer, each whole or not there; gives how many samples."""
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, np.memmap] = {}
        position = 0
        with ExitStack() as stack:
            for batch in batches:
                for layer, features in batch.items():
                    if layer not in arrays:
                        path = stack.enter_context(whole_file(self._path(split, layer)))
                        arrays[layer] = _reserve(path, (samples, features.shape[1]))
                    arrays[layer][position : position + len(features)] = features
                position += len(features)
            for array in arrays.values():
                array.flush()
        write_json(self.folder / ORDER, {"layers": list(arrays)})
        return position

    def _path(self, split: str, layer: str) -> Path:
        return self.folder / f"{split}.{layer}.npy"


def _reserve(path: Path, shape: tuple[int, int]) -> np.memmap:
    """A float16 array in a file whose room on the disk is taken: a full disk is an error here, not a crash later."""
    array = open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
    if hasattr(os, "posix_fallocate"):
        with open(path, "rb+") as file:
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
    return array
