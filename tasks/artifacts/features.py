"""Extracted features on disk: one float16 array (N, D) a split and layer, SPLIT.LAYER.npy, and the layers' order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
        written: dict[str, BinaryIO] = {}
        position = 0
        with ExitStack() as stack:
            for batch in batches:
                for layer, features in batch.items():
                    if layer not in written:
                        path = stack.enter_context(whole_file(self._path(split, layer)))
                        written[layer] = stack.enter_context(_reserved(path, (samples, features.shape[1])))
                    written[layer].write(np.ascontiguousarray(features, np.float16).data)
                position += len(features)
        write_json(self.folder / ORDER, {"layers": list(written)})
        return position

    def _path(self, split: str, layer: str) -> Path:
        return self.folder / f"{split}.{layer}.npy"


@contextmanager
def _reserved(path: Path, shape: tuple[int, int]) -> Iterator[BinaryIO]:
    """The file of a float16 array, open where its rows begin; its room on the disk is taken.

    A full disk is an error here. Rows are written and not mapped: all pages of a map would count as resident memory.
    """
    begin = open_memmap(path, mode="w+", dtype=np.float16, shape=shape).offset
    with open(path, "rb+") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, os.path.getsize(path))
        file.seek(begin)
        yield file
