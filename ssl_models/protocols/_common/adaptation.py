"""What protocols that run an encoder share: the training of an encoder with a head, and the outputs of a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import torch
from torch import Tensor

from ssl_models.errors import NeedsSamples
from ssl_models.feeding import batches, slices
from ssl_models.hardware import autocast, pick_device, resolve_precision
from ssl_models.method import Method
from ssl_models.modalities.inputs import inputs
from ssl_models.rows import Samples
from ssl_models.trainer import Settings, Training

SMALLEST_BATCH = 2
"""Batch norm takes no fewer."""


def train(method: Method, parts: Sequence[Samples], settings: Settings, *, seed: int, precision: str) -> None:
    """Trains `method` in place on the parts that it reads, each (N, ...) as stored: all that requires a gradient.

    With fewer samples than a batch, all of them are one batch. Raises NeedsSamples for a single one.
    """
    count = len(parts[0])
    if count < SMALLEST_BATCH:
        raise NeedsSamples(f"{count} training sample: a training needs at least {SMALLEST_BATCH}")
    device = pick_device()
    if count < settings.batch_size:
        settings = Settings(**{**vars(settings), "batch_size": count})
    Training(method, parts, settings, seed=seed, device=device, precision=precision).run()


def outputs(
    network: Callable[..., Tensor],
    *parts: Samples,
    precision: str,
    batch_size: int = 256,
    kept: torch.dtype = torch.float32,
) -> Tensor:
    """(N, ...) of the type `kept`, on the CPU: the outputs of a network for samples, see `blocks`."""
    found = torch.empty(0)
    for block, values in blocks(network, *parts, precision=precision, batch_size=batch_size):
        if block.start == 0:
            found = torch.empty((len(parts[0]), *values.shape[1:]), dtype=kept)
        found[block] = values
    return found


@torch.inference_mode()
def blocks(
    network: Callable[..., Tensor], *parts: Samples, precision: str, batch_size: int = 256
) -> Iterator[tuple[slice, Tensor]]:
    """Block of samples after block: its place, and (B, ...) float32 on the CPU, the outputs of a network for it.

    The network is in evaluation mode and on `pick_device()`. parts: of the samples, each (N, ...) as stored; the
    network is given what modalities/inputs.py makes of a batch, and the next one is read in the background.
    """
    device = pick_device()
    with closing(batches(parts, slices(len(parts[0]), batch_size), device)) as ahead:
        for block, batch in ahead:
            with autocast(resolve_precision(precision, device), device):
                found = network(*map(inputs, batch)).float().cpu()
            yield block, found
