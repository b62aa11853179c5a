"""What protocols that run an encoder share: the training of an encoder with a head, and the outputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.errors import NeedsSamples
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.trainer import Settings, Training

SMALLEST_BATCH = 2
"""Batch norm takes no fewer."""


def train(method: Method, parts: Sequence[ndarray], settings: Settings, *, seed: int, precision: str) -> None:
    """Trains `method` in place on the parts that it reads, each (N, ...) as stored: all that requires a gradient.

    With fewer samples than a batch, all of them are one batch. Raises NeedsSamples for a single one.
    """
    count = len(parts[0])
    if count < SMALLEST_BATCH:
        raise NeedsSamples(f"{count} training sample: a training needs at least {SMALLEST_BATCH}")
    device = pick_device()
    if count < settings.batch_size:
        settings = Settings(**{**vars(settings), "batch_size": count})
    samples = [torch.from_numpy(np.array(part)) for part in parts]
    Training(method, samples, settings, seed=seed, device=device, precision=precision).run()


@torch.inference_mode()
def outputs(network: Callable[..., Tensor], *parts: ndarray, precision: str, batch_size: int = 256) -> Tensor:
    """(N, ...) float32 on the CPU: the outputs of a network, in evaluation mode and on `pick_device()`, for samples.

    parts: of the samples, each (N, ...) as stored; the network is given what modalities/inputs.py makes of a batch.
    """
    device = pick_device()
    found = []
    with autocast(resolve_precision(precision, device), device):
        for start in range(0, len(parts[0]), batch_size):
            batch = [torch.from_numpy(np.array(part[start : start + batch_size])).to(device) for part in parts]
            found.append(network(*map(inputs, batch)).float().cpu())
    return torch.cat(found)
