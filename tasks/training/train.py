"""Training an encoder inside a stage: what pretraining and refitting share."""

from __future__ import annotations

import csv
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy
import torch
from safetensors.torch import save_file

from ssl_models.encoders import build_encoder
from ssl_models.hardware import pick_device
from ssl_models.method import DataSpec, Method, method_class
from ssl_models.parallel import processes
from ssl_models.trainer import Settings, Training, derive_seed
from tasks.process import kill_points
from tasks.project import paths
from tasks.settings import params
from tasks.stage import torchrun
from tasks.stage.run import Context, Result
from tasks.tracking.journal import Journal

COURSE = ("loss", "accuracy", "chance", "learning_rate", "images_per_second", "gradient_norm")
"""What an epoch logs that a training's record has already, or has no use for; a method's own terms come after it."""


def train_encoder(
    context: Context, run: str, method_name: str, block: dict[str, Any], *, labels: Any = None, targets: Any = None
) -> Result:
    """Trains `method_name` on the data set's training images and writes the encoder and its curve.

    labels: (N,) int64 array of classes or clusters, or None. targets: (N, K) logits of a teacher, or None.
    In one of several processes it only trains: the stage that started them does the rest.
    """
    seed, device = context.parameters["seed"], pick_device()
    images = numpy.load(context.store.dataset / "train.images.npy", mmap_mode="r" if device.type == "cpu" else None)
    data = DataSpec(
        len(images),
        tuple(images.shape[1:]),
        None if labels is None else torch.from_numpy(numpy.asarray(labels)),
        None if labels is None else int(numpy.max(labels)) + 1,
        None if targets is None else torch.from_numpy(numpy.asarray(targets, numpy.float32)),
    )
    method = build_method(context.parameters, method_name, block, data, derive_seed(seed, "init", run))
    settings = Settings(**params.pick(context.parameters["training"] | block, params.training_fields()))
    journal = Journal(context.work / torchrun.JOURNAL)
    summary: dict[str, Any] = {
        "method": method_name,
        "family": method.family,
        "reference": method.reference,
        "trained": method.trains,
    }
    if method.trains and torchrun.wanted(context) and not processes.joined():
        summary |= _train_together(context, method, settings)
    elif method.trains:
        training = Training(
            method,
            torch.from_numpy(numpy.array(images)).to(device),
            settings,
            seed=derive_seed(seed, "train", run),
            device=device,
            precision=context.parameters["machine"]["precision"],
            observer=Recorder(context, journal, device),
        )
        training.run()
        if processes.rank() == 0:
            summary |= _summary(training, settings, journal)
    if processes.joined():
        if processes.rank() == 0:
            torchrun.hand_over(context, summary | {"chance": method.chance})
        return Result()
    summary["chance"] = method.chance
    summary["parameters"] = sum(parameter.numel() for parameter in method.encoder.parameters())
    kill_points.point("before-output")
    write_encoder(context.store.encoder(run), method, data)
    curve = context.store.metric(run, "training.csv")
    write_curve(curve, journal)
    paths.write_json(context.store.metric(run, "training.json"), summary)
    numbers = {name: float(value) for name, value in summary.items() if isinstance(value, (int, float))}
    name = f"{context.store.data}.{run}"
    return Result(numbers, [curve], (name, context.store.encoder(run)))


def build_method(parameters: dict[str, Any], name: str, block: dict[str, Any], data: DataSpec, seed: int) -> Method:
    """A fresh encoder and the method around it; `block` holds the hyper-parameters, among other things."""
    torch.manual_seed(seed)
    encoder = build_encoder(**(parameters["encoder"] | block.get("encoder", {})), channels=data.shape[0])
    return method_class(name)(encoder, data, **params.pick(block, params.method_fields(name)))  # type: ignore[call-arg]


def write_encoder(folder: Path, method: Method, data: DataSpec) -> None:
    """encoder.safetensors and the encoder.json to build it again; the same weights give the same bytes.

    A method's classifier goes into head.safetensors beside it: distillation asks a teacher for its outputs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value.contiguous().cpu() for name, value in method.encoder.state_dict().items()}
    with paths.whole_file(folder / "encoder.safetensors") as temporary:
        save_file(tensors, temporary)
    if (head := method.classifier()) is not None:
        weights = {name: value.contiguous().cpu() for name, value in head.state_dict().items()}
        with paths.whole_file(folder / "head.safetensors") as temporary:
            save_file(weights, temporary)
    encoder = method.encoder
    paths.write_json(
        folder / "encoder.json", {"name": encoder.name, "settings": encoder.settings, "shape": list(data.shape)}
    )


def write_curve(path: Path, journal: Journal) -> None:
    """The journal as a table, one row an epoch, for `dvc plots` and the report."""
    rows = journal.rows()
    names = ["epoch", "step", "loss", *sorted({name for row in rows for name in row} - {"step", "loss"})]
    with paths.whole_file(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        for epoch, row in enumerate(rows, start=1):
            writer.writerow({"epoch": epoch, **row})


def _train_together(context: Context, method: Method, settings: Settings) -> dict[str, Any]:
    """Has other processes train, and gives `method` the state that they ended in; their summary."""
    processes.require_shares(settings.batch_size, context.parameters["machine"].get("processes", 1))
    summary = torchrun.train(context)
    checkpoint = torch.load(context.work / torchrun.CHECKPOINT, map_location="cpu", weights_only=True)
    method.load_state_dict(checkpoint["method"])
    method.chance = summary.pop("chance")
    return summary


def _summary(training: Training, settings: Settings, journal: Journal) -> dict[str, Any]:
    last = journal.read()[-1].values
    together = {"processes": processes.world()} if processes.joined() else {}
    seconds = sum(
        training.steps_per_epoch * settings.batch_size / entry.values["images_per_second"] for entry in journal.read()
    )
    return {
        "epochs": settings.epochs,
        "steps": training.steps,
        "samples_seen": training.steps * settings.batch_size,
        "views_seen": training.views_seen,
        "seconds": seconds,
        "images_per_second": training.steps * settings.batch_size / seconds,
        "loss": last["loss"],
        "accuracy": last.get("accuracy"),
        **{name: value for name, value in last.items() if name not in COURSE},
        "device": torch.cuda.get_device_name() if training.device.type == "cuda" else "cpu",
        "precision": training.precision,
        "threads": torch.get_num_threads(),
        **together,
        "peak_memory": _peak_memory(training.device),
    }


def _peak_memory(device: torch.device) -> int:
    """Bytes: the most that this process held, or on a GPU, that its tensors held there."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class Recorder:
    """Keeps a training's checkpoints and journal in the stage's work folder, shows progress, and feeds the tracking.

    The order makes the effect exactly once: the journal first, then the checkpoint, then the tracking store. What a
    kill leaves in the journal after the last checkpoint is cut off on resuming and written anew.
    """

    def __init__(self, context: Context, journal: Journal, device: torch.device) -> None:
        self.context, self.journal, self.device = context, journal, device
        self.path = context.work / torchrun.CHECKPOINT
        self.shown = self.started = time.monotonic()
        self.first_step: int | None = None

    def load(self) -> dict[str, Any] | None:
        checkpoint = None
        if self.path.exists():
            checkpoint = torch.load(self.path, map_location=self.device, weights_only=True)
            print(f"resuming at step {checkpoint['step']}")
        self.journal.cut(checkpoint["step"] if checkpoint else -1)
        return checkpoint

    def epoch(self, step: int, values: dict[str, float]) -> None:
        kill_points.point("before-metric")
        self.journal.append(step, values)
        kill_points.point("after-metric")

    def save(self, step: int, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        kill_points.point("before-checkpoint")
        with paths.whole_file(self.path) as temporary:
            torch.save(checkpoint, temporary)
        kill_points.point("after-checkpoint")
        self.context.record.sync(self.journal)

    def progress(self, step: int, steps: int, loss: float, images_per_second: float) -> None:
        now, terminal = time.monotonic(), sys.stdout.isatty()
        if self.first_step is None:
            self.first_step, self.started = step, now
        if now - self.shown < (0.2 if terminal else 5) and step < steps:
            return
        self.shown = now
        left = (now - self.started) / max(1, step - self.first_step) * (steps - step)
        line = (
            f"{100 * step // steps:3d} % · step {step} of {steps} · loss {loss:.4f} · "
            f"{images_per_second:,.0f} images/s · {int(left) // 60}:{int(left) % 60:02d} left"
        )
        print(f"\r{line}   " if terminal else line, end="" if terminal and step < steps else "\n", flush=True)
