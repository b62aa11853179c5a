"""Stages `transfer` and `transfer_target`: one protocol on one representation, of the data set's own or other data."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy

from ssl_models.errors import NeedsLabels, NeedsTruth
from ssl_models.protocols._common.score import Findings, Representation
from tasks.artifacts.pictures import save_png
from tasks.process import kill_points
from tasks.project import paths
from tasks.settings.params import TARGET, pick_out
from tasks.stage.run import Context, NotApplicable, Result

if TYPE_CHECKING:
    from ssl_models.encoders.encoder import Encoder

FACTORS, CLUSTERS = "factors", "clusters"


def transfer(context: Context, run: str, protocol: str) -> Result:
    """data, encoder, features -> metrics/<data>/<run>/<protocol>.json, and a folder of its pictures and curves."""
    return _measure(context, run, protocol, protocol, context.parameters["transfer"][protocol], own_data(context, run))


def transfer_target(context: Context, run: str, target: str) -> Result:
    """encoder, a target's data -> the same, under the target's name."""
    block = context.parameters["targets"][target]
    folder = paths.target_folder(context.root, target)
    known = paths.read_json(folder / "dataset.json")
    data = {name: known[name] for name in ("train", "test", "skipped")}
    settings = pick_out(block, TARGET)
    return _measure(context, run, target, block["protocol"], settings, other_data(context, run, folder), data)


transfer_clusterfit, transfer_target_clusterfit = transfer, transfer_target


def _measure(
    context: Context,
    run: str,
    name: str,
    protocol: str,
    settings: dict[str, Any],
    representation: Representation,
    data: dict[str, Any] | None = None,
) -> Result:
    """data: of a target, what its section of the report says of them: how many samples, and what was skipped."""
    evaluate = import_module(f"ssl_models.protocols.{protocol}").evaluate
    started = time.perf_counter()
    try:
        findings: Findings = evaluate(representation, seed=context.parameters["seed"], **settings)
    except NeedsTruth as error:
        raise NotApplicable(f"{name}: {error}") from error
    kill_points.point("before-output")
    record: dict[str, Any] = {
        "protocol": protocol,
        "scores": [asdict(score) for score in findings.scores],
        "seconds": time.perf_counter() - started,
    } | ({"data": data} if data else {})
    for score in findings.scores:  # once more by name, for `dvc metrics show`, which passes over lists
        record.setdefault(score.metric, {})[score.layer or "all"] = score.value
    folder = context.store.findings(run, name)
    folder.mkdir(parents=True, exist_ok=True)
    for title, picture in findings.pictures.items():
        save_png(folder / f"{title}.png", picture)
    if findings.curves:
        paths.write_json(folder / "curves.json", findings.curves)
    paths.write_json(context.store.metric(run, f"{name}.json"), record)
    pictures = [folder / f"{title}.png" for title in findings.pictures]
    return Result({f"{score.metric}.{score.layer or 'all'}": score.value for score in findings.scores}, pictures)


def own_data(context: Context, run: str) -> Representation:
    """A run's extracted features, memory-mapped, with the data that it was trained on."""
    folder = context.store.features(run)
    layers = [path.name.split(".")[1] for path in sorted(folder.glob("train.*.npy"), key=_layer_order)]

    def features(split: str, layer: str) -> numpy.ndarray:
        return numpy.load(folder / f"{split}.{layer}.npy", mmap_mode="r")

    return _representation(context, run, context.store.dataset, tuple(layers), features)


def other_data(context: Context, run: str, folder: Path) -> Representation:
    """A run's encoder and other data; features are extracted where a protocol asks for them, once."""
    from tasks.tracking.registry import read_encoder

    encoder = read_encoder(context.store.encoder(run))

    @cache
    def extracted(split: str) -> dict[str, numpy.ndarray]:
        from tasks.extract import features_of

        images = numpy.load(folder / f"{split}.images.npy", mmap_mode="r")
        return features_of(encoder, images, context.parameters)

    from ssl_models.extraction import POOLED

    layers = (*encoder.blocks(), POOLED)
    return _representation(context, run, folder, layers, lambda split, layer: extracted(split)[layer])


def _representation(
    context: Context,
    run: str,
    folder: Path,
    layers: tuple[str, ...],
    features: Callable[[str, str], numpy.ndarray],
) -> Representation:
    description = paths.read_json(folder / "dataset.json")

    def array(split: str, kind: str) -> Path:
        return folder / f"{split}.{kind}.npy"

    def labels(split: str) -> numpy.ndarray:
        if not array(split, "labels").exists():
            raise NeedsLabels(f"the data set '{folder.name}' has no labels")
        return numpy.load(array(split, "labels"))

    def truth(split: str, kind: str) -> Any:
        if kind == FACTORS:
            return _factors(folder / f"{split}.factors.npz", folder.name)
        if kind == CLUSTERS:
            return _pseudo_labels(context, run, features(split, layers[-1]))
        if not array(split, kind).exists():
            raise NeedsTruth(f"the data set '{folder.name}' has no {kind}")
        return numpy.load(array(split, kind), mmap_mode="r")

    def encoder() -> Encoder:
        from tasks.tracking.registry import read_encoder

        return read_encoder(context.store.encoder(run))

    classes = tuple(description["classes"])
    return Representation(
        layers,
        features,
        labels,
        len(classes),
        classes,
        tuple(description.get("points", ())),
        encoder,
        lambda split: numpy.load(array(split, "images"), mmap_mode="r"),
        truth,
        context.parameters["machine"]["precision"],
    )


def _factors(path: Path, name: str) -> dict[str, numpy.ndarray]:
    with numpy.load(path) as known:
        found = {factor: known[factor] for factor in known.files}
    if not found:
        raise NeedsTruth(f"the data set '{name}' has no factors")
    return found


def _pseudo_labels(context: Context, run: str, features: numpy.ndarray) -> numpy.ndarray:
    """(N,): which cluster a refit's own classifier puts each sample into."""
    path = context.store.encoder(run) / "head.safetensors"
    if run not in context.parameters["clusterfit"] or not path.exists():
        raise NeedsTruth(f"'{run}' has not learnt from clusters")
    from safetensors.numpy import load_file

    head = load_file(path)
    return (features.astype(numpy.float32) @ head["weight"].T + head["bias"]).argmax(1)


def _layer_order(path: object) -> tuple[bool, str]:
    name = str(path)
    return (name.endswith(".pooled.npy"), name)
