"""Stage `cluster`: the pseudo-labels of a refit, made from its source run's features.

ClusterFit: the ids of a k-means on the L2-normalised features. Distillation, where the block says `outputs`: besides
them the source's soft outputs, those of the softened clustering or those of its own classifier. A refit that goes on
with its source's weights is handed over these.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_models.clustering import cluster as k_means
from ssl_models.clustering import normalised_mutual_information, soft_assignments
from ssl_models.errors import DoesNotApply
from ssl_models.previews import columns
from tasks.artifacts import classifier
from tasks.artifacts.clusters import ASSIGNMENTS, TARGETS, Clusters
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import POOLED, Features
from tasks.artifacts.pictures import cluster_rows, drawn, names_of, save_png
from tasks.process import kill_points
from tasks.process.files import whole_file, write_json
from tasks.project.paths import Places
from tasks.settings import params
from tasks.settings.refits import WEIGHTS, continues
from tasks.stage.context import Context, NotApplicable, Result


@dataclass(frozen=True)
class Labels:
    """assignments: (N,) int64. distances: (N,), smaller for samples more typical of theirs. arrays: what to keep."""

    assignments: np.ndarray
    distances: np.ndarray
    arrays: dict[str, np.ndarray]
    summary: dict[str, Any]


def cluster(context: Context, run: str) -> Result:
    """data, features of the source -> runs/<data>/<run>/clusters, metrics/<data>/<run>/{cluster.json,clusters.png}.

    Raises:
        NotApplicable: the source has collapsed, so there is nothing to cluster.
    """
    block, places = context.parameters["clusterfit"][run], context.places
    if continues(block):
        return hand_over(places, run, block["source"])
    features, data = Features(places.features(block["source"])).read("train", POOLED), Stored(places.dataset)
    if block.get("outputs") == "classes":
        found = from_classifier(features, places.encoder(block["source"]))
    else:
        threads = context.parameters["machine"]["threads"]
        try:
            found = from_clusters(features, block, seed=context.parameters["seed"], threads=threads)
        except DoesNotApply as error:
            raise NotApplicable(f"clusters of {block['source']}: {error}") from error
    labels = data.labels_or_none("train")
    nmi = None if labels is None else normalised_mutual_information(found.assignments, labels)
    summary = found.summary | {"nmi": nmi}
    kill_points.point("before-output")
    origin, samples = data.origin("train"), data.samples("train")
    clusters = Clusters(places.clusters(run))
    clusters.write({ASSIGNMENTS: found.assignments} | found.arrays)
    if origin:
        clusters.write_members(origin, found.assignments, found.distances)
    picture, shown = (
        places.metric(run, "clusters.png"),
        cluster_rows(found.assignments, found.distances, columns(samples)),
    )
    save_png(picture, drawn(samples, shown, data.known))
    write_json(places.metric(run, "cluster.json"), summary | names_of(origin.get("file", ()), shown))
    return Result({name: float(value) for name, value in summary.items() if value is not None}, artifacts=[picture])


def hand_over(places: Places, run: str, source: str) -> Result:
    """Copies the source's encoder into the refit's folder of clusters. There is no picture: the file is empty."""
    kill_points.point("before-output")
    for file in sorted(places.encoder(source).glob("encoder.*")):
        with whole_file(places.clusters(run) / file.name) as temporary:
            shutil.copyfile(file, temporary)
    with whole_file(places.metric(run, "clusters.png")) as temporary:
        temporary.write_bytes(b"")
    write_json(places.metric(run, "cluster.json"), {"outputs": WEIGHTS, "source": source})
    return Result()


def from_clusters(features: np.ndarray, block: Mapping[str, Any], *, seed: int, threads: int) -> Labels:
    """K-means, and where the block says `outputs` its softened form as `targets` (N, K)."""
    found = k_means(features, **params.pick(block, params.cluster_fields()), seed=seed, threads=threads)
    arrays = {"centroids": found.centroids}
    if "outputs" in block:
        arrays[TARGETS] = soft_assignments(features, found.centroids, **params.pick(block, params.softening_fields()))
    return Labels(found.assignments, found.distances, arrays, found.summary())


def from_classifier(features: np.ndarray, encoder: Path) -> Labels:
    """The logits of the source's own classifier as `targets` (N, classes), and its decisions."""
    if not classifier.has_classifier(encoder):
        raise ValueError(f"{encoder} has no classifier; `outputs: clusters` works with any source")
    logits = classifier.logits(encoder, features)
    summary = {"clusters": logits.shape[1], "samples": len(logits)}
    return Labels(logits.argmax(1), -logits.max(1), {TARGETS: logits}, summary)
