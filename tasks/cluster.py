"""Stage `cluster`: the pseudo-labels of a refit, made from its source run's features.

ClusterFit: the ids of a k-means on the L2-normalised features. Distillation, where the block says `outputs`: besides
them the source's soft outputs, those of the softened clustering or those of its own classifier.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

from ssl_models.clustering import cluster as k_means
from ssl_models.clustering import normalised_mutual_information, soft_assignments
from tasks.artifacts.pictures import cluster_grid, save_png
from tasks.process import kill_points
from tasks.project import paths
from tasks.settings import params
from tasks.stage.run import Context, Result


@dataclass(frozen=True)
class Labels:
    """assignments: (N,) int64. distances: (N,), smaller for samples more typical of theirs. arrays: what to keep."""

    assignments: numpy.ndarray
    distances: numpy.ndarray
    arrays: dict[str, numpy.ndarray]
    summary: dict[str, Any]


def cluster(context: Context, run: str) -> Result:
    """data, features of the source -> runs/<data>/<run>/clusters, metrics/<data>/<run>/{cluster.json,clusters.png}."""
    block = context.parameters["clusterfit"][run]
    place = context.store
    features = numpy.load(place.features(block["source"]) / "train.pooled.npy", mmap_mode="r")
    started = time.perf_counter()
    if block.get("outputs") == "classes":
        found = from_classifier(features, place.encoder(block["source"]))
    else:
        threads = context.parameters["machine"]["threads"]
        found = from_clusters(features, block, seed=context.parameters["seed"], threads=threads)
    summary = found.summary | {"nmi": None, "seconds": time.perf_counter() - started}
    path = place.dataset / "train.labels.npy"
    if path.exists():
        summary["nmi"] = normalised_mutual_information(found.assignments, numpy.load(path))
    kill_points.point("before-output")
    for name, array in ({"assignments": found.assignments} | found.arrays).items():
        with paths.whole_file(place.clusters(run) / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            numpy.save(file, array)
    images = numpy.load(place.dataset / "train.images.npy", mmap_mode="r")
    picture = place.metric(run, "clusters.png")
    save_png(picture, cluster_grid(images, found.assignments, found.distances))
    paths.write_json(place.metric(run, "cluster.json"), summary)
    return Result({name: float(value) for name, value in summary.items() if value is not None}, [picture])


def from_clusters(features: numpy.ndarray, block: Mapping[str, Any], *, seed: int, threads: int) -> Labels:
    """K-means, and where the block says `outputs` its softened form as `targets` (N, K)."""
    found = k_means(features, **params.pick(block, params.cluster_fields()), seed=seed, threads=threads)
    arrays = {"centroids": found.centroids}
    if "outputs" in block:
        arrays["targets"] = soft_assignments(features, found.centroids, **params.pick(block, params.softening_fields()))
    return Labels(found.assignments, found.distances, arrays, found.summary())


def from_classifier(features: numpy.ndarray, encoder: Path) -> Labels:
    """The logits of the source's own classifier as `targets` (N, classes), and its decisions."""
    from safetensors.numpy import load_file

    path = encoder / "head.safetensors"
    if not path.exists():
        raise ValueError(f"{encoder} has no classifier; `outputs: clusters` works with any source")
    head = load_file(path)
    logits = features.astype(numpy.float32) @ head["weight"].T + head["bias"]
    decisions = logits.argmax(1)
    summary = {"clusters": logits.shape[1], "samples": len(logits)}
    return Labels(decisions, -logits.max(1), {"targets": logits}, summary)
