"""Training an encoder inside a stage: what pretraining and refitting share."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ssl_models import chunks
from ssl_models.collapse import collapsed
from ssl_models.data import DataSpec
from ssl_models.hardware import pick_device
from ssl_models.method import Method
from ssl_models.monitor import TOO_SHORT, Monitor
from ssl_models.parallel import processes
from ssl_models.rows import Samples
from ssl_models.shown import MOST
from ssl_models.trainer import Settings, Training, derive_seed
from tasks.artifacts.dataset import Stored
from tasks.artifacts.encoders import write_encoder
from tasks.artifacts.pictures import save_all
from tasks.process import kill_points
from tasks.process.files import write_json
from tasks.stage import torchrun
from tasks.stage.context import Context, Result
from tasks.tracking.journal import Journal
from tasks.training import computing, curves
from tasks.training.building import build_method, loaded, starting
from tasks.training.checkpoint import read_checkpoint
from tasks.training.curves import MONITORING, RATE
from tasks.training.recorder import Recorder

COURSE = ("loss", "accuracy", "chance", "learning_rate", RATE, MONITORING, "gradient_norm")
"""What an epoch logs that a training's record has already, or has no use for; a method's own terms come after it."""


def train_encoder(
    context: Context,
    run: str,
    method_name: str,
    block: dict[str, Any],
    *,
    labels: Any = None,
    targets: Any = None,
    start: Path | None = None,
) -> Result:
    """Trains `method_name` on the data set's training samples and writes the encoder and its curve.

    The seed alone decides the initialisation, the order of the samples and the draws of the views, so that methods are
    compared from one start: the untrained control is where all of them begin that have its encoder.

    labels: (N,) int64 array of classes or clusters, or None. targets: (N, K) logits of a teacher, or None. start: the
    folder of an encoder whose weights it goes on with; else what the block says.
    In one of several processes it only trains: the stage that started them does the rest.
    """
    stored = Stored(context.places.dataset)
    data = _specified(stored, labels, targets)
    seed = derive_seed(context.parameters["seed"], "init")
    root = context.project.root
    begin = starting(root, block) if start is None else partial(loaded, weights=start, told=block["source"], whole=True)
    method, fit = build_method(context.parameters, method_name, block, data, seed, root=root, start=begin)
    if fit is not None and processes.rank() == 0:
        print(*fit.lines(), sep="\n", flush=True)
    summary: dict[str, Any] = {
        "method": method_name,
        "family": method.family,
        "reference": method.reference,
        "trained": method.trains,
        **({} if fit is None else fit.summary()),
    }
    costs: dict[str, float] = {}
    if method.trains:
        settings = _settings(context, block, method, stored, summary)
        together = torchrun.wanted(context) and not processes.joined()
        train = _train_together if together else _train_here
        learnt, costs = train(context, run, method, settings, stored)
        summary |= learnt
    if processes.joined():
        if processes.rank() == 0:
            torchrun.hand_over(context, summary, costs)
        return Result()
    summary.setdefault("chance", method.chance)
    return _write(context, run, method, stored, summary, costs)


def _specified(stored: Stored, labels: Any, targets: Any) -> DataSpec:
    """What a method may know of the data."""
    return DataSpec(
        stored.description["train"],
        stored.shapes,
        None if labels is None else torch.from_numpy(np.asarray(labels)),
        None if labels is None else int(np.max(labels)) + 1,
        None if targets is None else torch.from_numpy(np.asarray(targets, np.float32)),
        stored.known,
        stored.sources("train"),
    )


def _settings(
    context: Context, block: dict[str, Any], method: Method, stored: Stored, summary: dict[str, Any]
) -> Settings:
    """The settings of the training; a batch that was found is noted in the summary."""
    settings = computing.settings_of(context.parameters, block)
    if not computing.is_automatic(context.parameters, block):
        return settings
    samples = _samples(stored, method)

    def parts(most: int) -> list[torch.Tensor]:
        return [torch.from_numpy(np.array(samples[part][:most])) for part in method.parts]

    found = computing.found_batch(context, settings, method, parts, stored.description["train"])
    summary["batch_size"] = found
    return replace(settings, batch_size=found)


def _samples(stored: Stored, method: Method) -> Mapping[str, Samples]:
    """The training samples as the method takes them."""
    return stored.whole("train") if method.crops else stored.samples("train")


def _train_here(
    context: Context, _run: str, method: Method, settings: Settings, stored: Stored
) -> tuple[dict[str, Any], dict[str, float]]:
    """Trains in this process; the summary and costs, empty unless it is the first of several."""
    device, journal = pick_device(), Journal(context.work / torchrun.JOURNAL)
    samples = _samples(stored, method)
    parts = [samples[part] for part in method.parts]
    seed = derive_seed(context.parameters["seed"], "train")
    monitor = _monitor(stored, context.parameters["seed"])
    rank = monitor.rank(method.encoder)
    training = Training(
        method,
        parts,
        settings,
        seed=seed,
        device=device,
        **computing.arguments(context.parameters["machine"]),
        observer=Recorder(context, journal, len(parts[0]) // settings.batch_size, rank),
        monitor=monitor,
    )
    if training.chunk and processes.rank() == 0 and (inexact := chunks.inexact(method)):
        print(f"machine.chunk {training.chunk}: {inexact} takes its statistics of a chunk, and not of the batch")
    training.run()
    if processes.rank() != 0:
        return {}, {}
    fallen = collapsed(journal.rows(), rank)
    summary = _summary(training, settings, journal) | ({} if fallen is None else {"collapsed": fallen})
    epochs, seen = settings.epochs, training.numbers_seen
    if training.monitor is not None and not training.monitor.due(method.encoder, epochs, epochs, seen / epochs):
        summary["unmonitored"] = TOO_SHORT
        print(f"not looked at while it trained: {TOO_SHORT}", flush=True)
    return summary, _costs(training, settings, journal)


def _monitor(stored: Stored, seed: int) -> Monitor:
    """What measures the runs of a data set: all of them on the same piece, by the labels of the data."""
    return Monitor(stored.samples("train"), stored.labels_or_none("train"), seed=derive_seed(seed, "monitor"))


def _write(
    context: Context,
    run: str,
    method: Method,
    stored: Stored,
    summary: dict[str, Any],
    costs: dict[str, float],
) -> Result:
    """Writes the encoder, its curve and its record."""
    summary["parameters"] = sum(parameter.numel() for parameter in method.encoder.parameters())
    kill_points.point("before-output")
    encoder, curve = context.places.encoder(run), context.places.metric(run, "training.csv")
    write_encoder(encoder, method, stored.shapes)
    journal = Journal(context.work / torchrun.JOURNAL)
    curves.write_all(curve, journal)
    curves.write_measured(context.places.curves(run), journal)
    save_all(context.places.shown(run), _pictures(stored, method))
    write_json(context.places.metric(run, "training.json"), summary)
    numbers = {name: float(value) for name, value in summary.items() if isinstance(value, (int, float))}
    return Result(numbers, costs, [curve], (f"{context.places.data}.{run}", encoder))


def _pictures(stored: Stored, method: Method) -> dict[str, Any]:
    """What the method shows of test samples at even steps; they are read only where it shows any."""
    if type(method).pictures is Method.pictures:
        return {}
    found = stored.whole("test") if method.crops else stored.samples("test")
    parts = [found[part] for part in method.parts]
    rows = np.linspace(0, len(parts[0]) - 1, min(MOST, len(parts[0]))).round().astype(int)
    device = next(method.encoder.parameters()).device
    method.eval()
    with torch.inference_mode():
        return method.pictures([torch.from_numpy(np.array(part[rows])).to(device) for part in parts])


def _train_together(
    context: Context, run: str, method: Method, settings: Settings, _stored: Stored
) -> tuple[dict[str, Any], dict[str, float]]:
    """Has other processes train, and gives `method` the state that they ended in; their summary and costs."""
    processes.require_shares(settings.batch_size, context.parameters["machine"].get("processes", 1))
    summary, costs = torchrun.train(computing.with_batch(context, run, settings.batch_size))
    checkpoint = read_checkpoint(context.work / torchrun.CHECKPOINT)
    method.load_state_dict(checkpoint["method"])
    return summary, costs


def _summary(training: Training, settings: Settings, journal: Journal) -> dict[str, Any]:
    last = journal.read()[-1].values
    together: dict[str, Any] = {"processes": processes.world()} if processes.joined() else {}
    together |= {"chunk": training.chunk} if training.chunk else {}
    together |= {"compiled": True} if training.compiled else {}
    return {
        "epochs": settings.epochs,
        "steps": training.steps,
        "samples_seen": training.steps * settings.batch_size,
        "views_seen": training.views_seen,
        "loss": last["loss"],
        "accuracy": last.get("accuracy"),
        **{name: value for name, value in last.items() if name not in COURSE},
        "device": torch.cuda.get_device_name() if training.device.type == "cuda" else "cpu",
        "precision": training.precision,
        "threads": torch.get_num_threads(),
        **together,
        "chance": last.get("chance"),
    }


def _costs(training: Training, settings: Settings, journal: Journal) -> dict[str, float]:
    """Seconds of training alone and of monitoring over all starts of it, samples a second, peak memory in bytes."""
    samples, entries = training.steps_per_epoch * settings.batch_size, journal.read()
    seconds = sum(samples / entry.values[RATE] for entry in entries)
    return {
        "training_seconds": seconds,
        MONITORING: sum(entry.values.get(MONITORING, 0.0) for entry in entries),
        RATE: training.steps * settings.batch_size / seconds,
        "peak_memory": _peak_memory(training.device),
    }


def _peak_memory(device: torch.device) -> int:
    """Bytes: the most that this process held, or on a GPU, that its tensors held there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
