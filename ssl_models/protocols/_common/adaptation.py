"""What protocols that run an encoder share: the training of an encoder with a head, and the outputs of a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.errors import NeedsSamples
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.method import Method
from ssl_models.modalities.image import to_float
from ssl_models.trainer import Settings, Training

SMALLEST_BATCH = 2
"""Batch norm takes no fewer."""


def train(method: Method, images: ndarray, settings: Settings, *, seed: int, precision: str) -> None:
    """Trains `method` in place on images (N, C, H, W) uint8: all its parameters that require a gradient.

    With fewer samples than a batch, all of them are one batch. Raises NeedsSamples for a single one.
    """
    if len(images) < SMALLEST_BATCH:
        raise NeedsSamples(f"{len(images)} training sample: a training needs at least {SMALLEST_BATCH}")
    device = pick_device()
    if len(images) < settings.batch_size:
        settings = Settings(**{**vars(settings), "batch_size": len(images)})
    Training(method, torch.from_numpy(np.array(images)), settings, seed=seed, device=device, precision=precision).run()


@torch.inference_mode()
def outputs(network: Callable[[Tensor], Tensor], images: ndarray, *, precision: str, batch_size: int = 256) -> Tensor:
    """(N, ...) float32 on the CPU: the outputs of a network, in evaluation mode and on `pick_device()`, for the images.

    images: (N, C, H, W) uint8; the network is given (B, C, H, W) floats in [0, 1].
    """
    device = pick_device()
    found = []
    with autocast(resolve_precision(precision, device), device):
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.array(images[start : start + batch_size])).to(device)
            found.append(network(to_float(batch)).float().cpu())
    return torch.cat(found)
