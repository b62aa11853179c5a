"""A trial of a training: two steps of it, timed after one that warms up. Called apart, a process for each."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tasks.artifacts.dataset import Stored
from tasks.checks import dry_run
from tasks.checks.weights_seen import WeightsSeen
from tasks.project.project import Project
from tasks.settings.encoders import TRAININGS
from tasks.settings.refits import method_of

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from ssl_models.data import DataSpec
    from ssl_models.method import Method

STEPS = 2


def of_training(project: Project, parameters: dict[str, Any], stage: str, fresh: bool) -> dict[str, float]:
    """Seconds of all steps of a training, and bytes of memory, judged by two steps on as many samples as those read.

    parameters: of params.yaml, which is not asked. fresh: the data are to be prepared anew, so made-up ones are used.
    Nothing is written. Empty for a method that trains nothing.
    """
    import torch

    from ssl_models.hardware import pick_device
    from ssl_models.trainer import Training
    from tasks.training import computing

    project = Project.given(project.root, parameters)
    torch.set_num_threads(parameters["machine"]["threads"])
    kind, _, run = stage.partition("@")
    block = parameters[kind][run]
    name = str(block["method"]) if kind == TRAININGS[0] else method_of(block)
    data = dry_run.measure(project, fresh)
    method = dry_run.built(project, name, block, data, WeightsSeen())
    if not method.trains:
        return {"seconds": 0.0}
    settings = computing.settings_of(parameters, block, automatic=min(256, data.samples))
    few = min(data.samples, (STEPS + 1) * settings.batch_size)
    trial = replace(settings, epochs=STEPS + 1)
    device = pick_device()
    parts = _parts(project, method, data, few, fresh)
    training = Training(method, parts, trial, seed=0, device=device, **computing.arguments(parameters["machine"]))
    training.run(stop_after=1)
    begun = time.perf_counter()
    training.run(stop_after=STEPS + 1)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    a_step = (time.perf_counter() - begun) / STEPS
    steps = settings.epochs * (data.samples // settings.batch_size)
    return {"seconds": a_step * steps, "memory": _held(device.type)}


def _parts(project: Project, method: Method, data: DataSpec, few: int, fresh: bool) -> list[Tensor]:
    """Samples evenly spread over all, since those of one video lie together, or random ones where there are none."""
    import numpy as np
    import torch

    stored = Stored(project.places.dataset)
    if stored.prepared and not fresh:
        samples = stored.whole("train") if method.crops else stored.samples("train")
        rows = np.linspace(0, data.samples - 1, few).astype(np.int64)
        return [torch.from_numpy(np.array(samples[part][rows])) for part in method.parts]
    generator = torch.Generator().manual_seed(0)
    return [made_up(part, few, data.shapes, generator) for part in method.parts]


def made_up(part: str, count: int, shapes: Mapping[str, tuple[int, ...]], generator: Generator) -> Tensor:
    """Random rows of a part, (count, ...) as stored: whole recordings, sources of their own, patches of half a frame.

    shapes: of a sample's parts.
    """
    import torch

    shape = (count, *shapes[part])
    if part == "length":
        return torch.full(shape, shapes["sound"][0], dtype=torch.int32)
    if part == "source":
        return torch.arange(count, dtype=torch.int32).view(shape)
    if part == "tracks":
        height, width = shapes["frames"][-2:]
        corner = torch.rand(*shape[:-1], 2, generator=generator) / 2
        return torch.cat([corner, corner + 0.5], -1) * torch.tensor([width, height, width, height])
    if part == "vectors":  # of 0 and 1, which are real numbers too
        return torch.randint(2, shape, generator=generator).float()
    kinds = {"tokens": (torch.int32, 100), "sound": (torch.int16, 2**14)}
    kind, most = kinds.get(part, (torch.uint8, 256))
    return torch.randint(1, most, shape, generator=generator).to(kind)


def _held(device: str) -> float:
    """Bytes: the most that this process held, or that its tensors held on a GPU."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated())
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))
