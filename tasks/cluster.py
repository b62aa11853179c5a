"""Stage `cluster`: k-means on the L2-normalised features of a source run; the ids become ClusterFit's labels."""

from __future__ import annotations

import time

import numpy

from ssl_models.clustering import cluster as k_means
from ssl_models.clustering import normalised_mutual_information
from tasks import faults, params, store
from tasks.pictures import cluster_grid, save_png
from tasks.stage import Context, Result


def cluster(context: Context, run: str) -> Result:
    """data, features of the source -> runs/<data>/<run>/clusters, metrics/<data>/<run>/{cluster.json,clusters.png}."""
    block = context.parameters["clusterfit"][run]
    features = numpy.load(context.store.features(block["source"]) / "train.pooled.npy", mmap_mode="r")
    started = time.perf_counter()
    found = k_means(
        features,
        **params.pick(block, params.cluster_fields()),
        seed=context.parameters["seed"],
        threads=context.parameters["machine"]["threads"],
    )
    summary = found.summary() | {"nmi": None, "seconds": time.perf_counter() - started}
    path = context.store.dataset / "train.labels.npy"
    if path.exists():
        summary["nmi"] = normalised_mutual_information(found.assignments, numpy.load(path))
    faults.point("before-output")
    for name, array in (("assignments", found.assignments), ("centroids", found.centroids)):
        with store.whole_file(context.store.clusters(run) / f"{name}.npy") as temporary, open(temporary, "wb") as file:
            numpy.save(file, array)
    images = numpy.load(context.store.dataset / "train.images.npy", mmap_mode="r")
    picture = context.store.metric(run, "clusters.png")
    save_png(picture, cluster_grid(images, found.assignments, found.distances))
    store.write_json(context.store.metric(run, "cluster.json"), summary)
    return Result({name: float(value) for name, value in summary.items() if value is not None}, [picture])
