"""What a training takes from the machine: how it computes, and with `batch_size: auto` how much at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from ssl_models import feeding
from ssl_models.batch_size import AUTO, largest
from ssl_models.cores import cores
from ssl_models.method import Method
from ssl_models.trainer import Settings, Training
from tasks.process import files
from tasks.project.project import Project
from tasks.settings import params
from tasks.stage.context import Context

CHOSEN = "batch.json"
"""In a training's work folder: the batch that was found, which a resumed training takes up."""
FEW, FEW_BYTES = 4096, 2**26
"""The samples that a trial of a batch works on, at most, where the batch itself has fewer."""
LIMIT = Path("/sys/fs/cgroup/memory.max")


def arguments(machine: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of `Training` that the block `machine` sets."""
    return {
        "precision": machine["precision"],
        "chunk": machine.get("chunk", 0),
        "channels_last": machine.get("channels_last", "auto"),
        "compiled": machine.get("compile", False),
    }


def is_automatic(parameters: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
    """Whether the batch of this training is to be found."""
    return bool((parameters["training"] | block).get("batch_size") == AUTO)


def settings_of(parameters: Mapping[str, Any], block: Mapping[str, Any], automatic: int = 2) -> Settings:
    """The settings of a training. automatic: its batch where that is to be found."""
    chosen = params.pick(parameters["training"] | block, params.training_fields())
    return Settings(**chosen | ({"batch_size": automatic} if is_automatic(parameters, block) else {}))


def found_batch(
    context: Context, settings: Settings, method: Method, parts: Callable[[int], list[torch.Tensor]], samples: int
) -> int:
    """The batch of a training whose settings say "auto": what was found before in its work folder, or a new search.

    parts: gives the first samples of each part that the method reads, at most so many.
    """
    path, machine = context.work / CHOSEN, context.parameters["machine"]
    if path.exists():
        return int(files.read_json(path)["batch_size"])
    from ssl_models.hardware import pick_device

    device, a_sample = pick_device(), sum(part.nbytes for part in parts(1))
    few = max(1, min(FEW, samples, FEW_BYTES // max(1, a_sample)))

    def trial(size: int) -> Training:
        own = replace(settings, batch_size=size, epochs=max(2, settings.epochs))  # two steps, of one batch of samples
        return Training(deepcopy(method), parts(max(few, size)), own, seed=0, device=device, **arguments(machine))

    held = _held_besides(device, samples * a_sample, few * a_sample)
    processes = machine.get("processes", 1)
    found = largest(trial, samples, device, memory=memory_of(machine), held=held, processes=processes)
    print(f"batch_size auto: {found}, the largest power of two that fits on this {device.type}", flush=True)
    files.write_json(path, {"batch_size": found})
    return found


def _held_besides(device: torch.device, whole: int, trials: int) -> int:
    """Bytes of a GPU that the training's samples take, and those of its trials do not. See ssl_models/feeding.py."""
    return whole - trials if device.type == "cuda" and whole <= feeding.room(device) else 0


def memory_of(machine: Mapping[str, Any]) -> int:
    """Bytes of this machine's memory that a stage may take: as large a share as it has of the cores."""
    total = psutil.virtual_memory().total
    if LIMIT.exists() and (limit := LIMIT.read_text().strip()).isdigit():
        total = min(total, int(limit))
    return int(total * min(1.0, machine["threads"] * machine.get("processes", 1) / cores()))


def with_batch(context: Context, run: str, batch_size: int) -> Context:
    """The same stage with its batch as a number, for processes that train together."""
    parameters = dict(context.parameters) | {"training": context.parameters["training"] | {"batch_size": batch_size}}
    for kind in ("pretrain", "clusterfit"):
        if run in parameters.get(kind, {}):
            own = {name: value for name, value in parameters[kind][run].items() if name != "batch_size"}
            parameters[kind] = parameters[kind] | {run: own}
    return replace(context, project=Project.given(context.project.root, parameters))
