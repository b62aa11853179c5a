"""K-means in a process of its own, for code that runs where torch is loaded.

torch and faiss in one process crash on macOS (faiss #3401); and numbers of threads are a process's own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy import ndarray

ROOT = Path(__file__).parents[1]
FEATURES, FOUND = "features.npy", "found.npz"


def require_faiss(method: str) -> None:
    """Raises ValueError where faiss is not installed."""
    if find_spec("faiss") is None:
        raise ValueError(f"{method} clusters by faiss, which is not installed: pip install faiss-cpu")


def cluster_apart(features: ndarray, **settings: Any) -> tuple[ndarray, ndarray]:
    """The assignments (N,) int64 and centroids (K, D) of `clustering.cluster(features, **settings)`.

    Raises RuntimeError, with the last line of what it said, where the process fails.
    """
    with TemporaryDirectory() as folder:
        np.save(Path(folder) / FEATURES, features)
        command = [sys.executable, "-m", "ssl_models.clustering_apart", folder, json.dumps(settings)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
            raise RuntimeError(f"k-means failed: {said}")
        with np.load(Path(folder) / FOUND) as found:
            return found["assignments"], found["centroids"]


def main(folder: str, settings: str) -> None:
    """Of the process: reads features, and writes what was found."""
    from ssl_models.clustering import cluster

    found = cluster(np.load(Path(folder) / FEATURES), **json.loads(settings))
    np.savez(Path(folder) / FOUND, assignments=found.assignments, centroids=found.centroids)


if __name__ == "__main__":
    main(*sys.argv[1:])
