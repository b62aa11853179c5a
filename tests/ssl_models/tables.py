"""Small tables of numbers in files: what tests of the reader `vectors` share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from ssl_models.datasets._common.split import Dataset


def saved(path: Path, *arrays: Any, **named: Any) -> str:
    """A .npy of one array, or a .npz of several."""
    if named:
        np.savez(path, **named)
    else:
        np.save(path, arrays[0])
    return str(path)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def table(rows: int = 50, columns: int = 3, seed: int = 0) -> ndarray:
    """Of mean 10 and deviations 1, 2, 3 ..."""
    return 10 + np.arange(1, columns + 1) * np.random.default_rng(seed).standard_normal((rows, columns))


def both(data: Dataset) -> ndarray:
    """The vectors of both splits, sorted by their numbers."""
    found = torch.cat([data.train.parts["vectors"], data.test.parts["vectors"]]).double().numpy()
    return found[np.lexsort(found.T)]


def by_rows(x: ndarray) -> ndarray:
    return x[np.lexsort(x.T)]
