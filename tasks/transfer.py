"""Stage `transfer`: one protocol on one frozen representation."""

from __future__ import annotations

import time
from dataclasses import asdict
from importlib import import_module
from typing import Any

import numpy

from ssl_models.errors import NeedsLabels
from ssl_models.protocols.score import Representation
from tasks import faults, store
from tasks.stage import Context, NotApplicable, Result


def transfer(context: Context, run: str, protocol: str) -> Result:
    """data, features -> metrics/<data>/<run>/<protocol>.json."""
    evaluate = import_module(f"ssl_models.protocols.{protocol}").evaluate
    started = time.perf_counter()
    try:
        scores = evaluate(
            read_representation(context.store, run),
            seed=context.parameters["seed"],
            **context.parameters["transfer"][protocol],
        )
    except NeedsLabels as error:
        raise NotApplicable(f"{protocol}: {error}") from error
    faults.point("before-output")
    seconds = time.perf_counter() - started
    record: dict[str, Any] = {"scores": [asdict(score) for score in scores], "seconds": seconds}
    for score in scores:  # once more by name, for `dvc metrics show`, which passes over lists
        record.setdefault(score.metric, {})[score.layer or "all"] = score.value
    store.write_json(context.store.metric(run, f"{protocol}.json"), record)
    return Result({f"{score.metric}.{score.layer or 'all'}": score.value for score in scores})


transfer_clusterfit = transfer


def read_representation(place: store.Store, run: str) -> Representation:
    """A run's extracted features, memory-mapped, with the data set's labels."""
    folder = place.features(run)
    layers = [path.name.split(".")[1] for path in sorted(folder.glob("train.*.npy"), key=_layer_order)]
    description = store.read_json(place.dataset / "dataset.json")

    def features(split: str, layer: str) -> numpy.ndarray:
        return numpy.load(folder / f"{split}.{layer}.npy", mmap_mode="r")

    def labels(split: str) -> numpy.ndarray:
        path = place.dataset / f"{split}.labels.npy"
        if not path.exists():
            raise NeedsLabels(f"the data set '{place.data}' has no labels")
        return numpy.load(path)

    return Representation(tuple(layers), features, labels, len(description["classes"]))


def _layer_order(path: object) -> tuple[bool, str]:
    name = str(path)
    return (name.endswith(".pooled.npy"), name)
