"""A million samples of 512 features in files: what the frozen protocols and k-means hold of them at most."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy
from numpy.lib.format import open_memmap

from benchmarks.measuring import Effort, spread
from benchmarks.page import Page
from benchmarks.rows import Row, Target

SAMPLES, FEATURES, CLASSES, QUERIES = 1_000_000, 512, 10, 1_000
ROWS = 20_000
HOW = (
    f"{SAMPLES:,} training samples of {FEATURES} float16 features in a memory-mapped file of 1 GiB, {QUERIES:,} test "
    "samples, 10 classes; the peak of the resident memory of a process that does nothing else, libraries, labels and "
    "the pages of the file that the system keeps included."
)


def measure(effort: Effort, page: Page) -> None:
    """Adds a row for each that has to do with a million samples; it takes some minutes."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        make(Path(folder), 20_000 if effort.quick else SAMPLES)
        for name in WORK:
            peak = spread([_peak(name, Path(folder)) / 2**30])
            page.add(Row(f"{name}, a million samples", "GiB", peak, HOW, Target("<", 4.0, ratio=False)))


def make(folder: Path, samples: int) -> None:
    """Features in which the classes overlap, with their labels."""
    draws = numpy.random.default_rng(0)
    centres = draws.normal(size=(CLASSES, FEATURES)).astype(numpy.float32) / 8
    for split, count in (("train", samples), ("test", QUERIES)):
        labels = draws.integers(CLASSES, size=count)
        numpy.save(folder / f"{split}.labels.npy", labels)
        features = open_memmap(folder / f"{split}.npy", mode="w+", dtype=numpy.float16, shape=(count, FEATURES))
        for begin in range(0, count, ROWS):
            own = labels[begin : begin + ROWS]
            features[begin : begin + ROWS] = centres[own] + draws.normal(size=(len(own), FEATURES))
        features.flush()


def protocol(name: str, **settings: object) -> Callable[[Path], None]:
    """What evaluates a protocol on the files."""

    def run(folder: Path) -> None:
        from importlib import import_module

        from ssl_models.protocols._common.score import Representation

        given = Representation(
            ("pooled",),
            lambda split, _layer: numpy.load(folder / f"{split}.npy", mmap_mode="r"),
            lambda split: numpy.load(folder / f"{split}.labels.npy"),
            CLASSES,
        )
        import_module(f"ssl_models.protocols.{name}").evaluate(given, seed=0, **settings)

    return run


def clustering(folder: Path) -> None:
    """Twenty iterations of k-means with a hundred clusters."""
    from ssl_models.clustering import cluster

    cluster(numpy.load(folder / "train.npy", mmap_mode="r"), clusters=100, iterations=20, seed=0)


WORK: dict[str, Callable[[Path], None]] = {
    "linear": protocol("linear"),
    "linear by SGD": protocol("linear", solver="sgd", iterations=4),
    "knn": protocol("knn"),
    "retrieval": protocol("retrieval"),
    "cluster": clustering,
}


def _peak(name: str, folder: Path) -> int:
    """Bytes: the most that a new process held while it worked."""
    command = [sys.executable, "-m", "benchmarks.memory", name, str(folder)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    WORK[sys.argv[1]](Path(sys.argv[2]))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
