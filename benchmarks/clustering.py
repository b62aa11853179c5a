"""K-means in two levels against flat k-means, with thousands of clusters."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy

from benchmarks.page import Page
from benchmarks.rows import Row, Target

if TYPE_CHECKING:
    from benchmarks.measuring import Effort

SAMPLES, FEATURES, CLUSTERS = 300_000, 128, 3_000
GROUPS, ROWS = 200, 20_000
PAIRS = 1
HOW = (
    f"CPU time of `cluster` with {CLUSTERS:,} clusters of {SAMPLES:,} samples of {FEATURES} float16 features: "
    f"{GROUPS} wide normal groups on the unit sphere, with variances that fall from feature to feature. One thread, "
    "each in a process of its own; {pairs} pair. The inertia is {inertia:.3f} times that of flat k-means."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds the row of the two levels; it takes some minutes, so that a quick trial is far smaller."""
    from benchmarks.measuring import compare

    samples, clusters = (5_000, 100) if effort.quick else (SAMPLES, CLUSTERS)
    inertias: dict[int, float] = {}

    def seconds(levels: int) -> float:
        command = [sys.executable, "-m", "benchmarks.clustering", str(path), str(clusters), str(levels)]
        done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        inertias[levels] = done["inertia"]
        return float(done["seconds"])

    with tempfile.TemporaryDirectory(dir=".") as folder:
        path = Path(folder) / "features.npy"
        numpy.save(path, make(samples))
        mine, others, ratio = compare(lambda: seconds(2), lambda: seconds(1), PAIRS)
    how = HOW.format(pairs=PAIRS, inertia=inertias[2] / inertias[1])
    page.add(Row("k-means in two levels", "CPU s", mine, how, Target("≤", 0.2, ratio=True), "flat", others, ratio))


def make(samples: int) -> numpy.ndarray:
    """(N, D) float16 of unit length."""
    draws = numpy.random.default_rng(1)
    scale = numpy.arange(1, FEATURES + 1) ** -0.6
    scale /= numpy.linalg.norm(scale)
    centres = draws.normal(size=(GROUPS, FEATURES)) * scale
    centres /= numpy.linalg.norm(centres, axis=1, keepdims=True)
    groups = draws.integers(GROUPS, size=samples)
    features = numpy.empty((samples, FEATURES), numpy.float16)
    for begin in range(0, samples, ROWS):
        own = centres[groups[begin : begin + ROWS]]
        drawn = own + 0.8 * draws.normal(size=own.shape) * scale
        features[begin : begin + ROWS] = drawn / numpy.linalg.norm(drawn, axis=1, keepdims=True)
    return features


def main(path: str, clusters: str, levels: str) -> None:
    """Prints the CPU seconds and the inertia of a clustering. Imports no torch: faiss and torch may crash together."""
    from ssl_models.clustering import cluster

    features, started = numpy.load(path, mmap_mode="r"), time.process_time()
    found = cluster(features, clusters=int(clusters), seed=0, threads=1, levels=int(levels))
    print(json.dumps({"seconds": time.process_time() - started, "inertia": found.inertia}))


if __name__ == "__main__":
    main(*sys.argv[1:])
