"""`batch_size: auto`: the largest power of two that fits into memory, found by first steps of the training itself.

On a GPU batches are doubled until one takes more than MARGIN of its memory or runs out of it. On a CPU nothing is
tried: what two small batches keep for their backward pass tells what a sample takes, so the same network and memory
give the same batch.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from ssl_models.trainer import Training

AUTO = "auto"
FEWEST, MOST = 8, 1024
BATCHES = 4
"""At least so many are there in an epoch."""
MARGIN = 0.85
"""Share of a GPU's memory that a training may take: the sizes of later steps differ, and CUDA needs some."""
BESIDE = 4
"""On a CPU, times what a batch keeps for its backward pass: gradients, views and what else runs."""

Trial = Callable[[int], Training]
"""Makes the training anew with a batch of this size, of a copy of the method."""


def largest(trial: Trial, samples: int, device: torch.device, *, memory: int, held: int = 0, processes: int = 1) -> int:
    """The largest batch that fits, of those that `sizes` offers.

    memory: bytes that a training on a CPU may take. held: bytes of a GPU's that are taken beside the training.
    Raises torch.OutOfMemoryError where not even the smallest fits into a GPU.
    """
    offered = sizes(samples, processes)
    if len(offered) == 1:
        return offered[0]
    shares = [size // processes for size in offered]
    fits = _on_gpu(trial, shares, device, held) if device.type == "cuda" else _on_cpu(trial, shares, memory)
    return offered[shares.index(fits)]


def sizes(samples: int, processes: int = 1) -> list[int]:
    """Powers of two, times the processes, from FEWEST to MOST and a quarter of the samples; one at least."""
    powers = (2**power for power in range(1, MOST.bit_length()))
    most = min(MOST, samples // BATCHES)
    offered = [processes * power for power in powers if FEWEST <= processes * power <= most]
    return offered or [processes * max(1, min(FEWEST, samples) // processes)]


def _on_gpu(trial: Trial, offered: list[int], device: torch.device, held: int) -> int:
    room = MARGIN * torch.cuda.get_device_properties(device).total_memory - held
    for number, size in enumerate(offered):
        if not _fits(trial, size, device, room):
            if number == 0:
                raise torch.OutOfMemoryError(f"CUDA out of memory: batch_size auto fits no batch of {size}")
            return offered[number - 1]
    return offered[-1]


def _fits(trial: Trial, size: int, device: torch.device, room: float) -> bool:
    """Whether two steps, of which the first makes the optimiser's state, stay within `room` bytes."""
    torch.cuda.reset_peak_memory_stats(device)
    try:
        trial(size).run(stop_after=2)
        taken = torch.cuda.max_memory_reserved(device)
    except torch.OutOfMemoryError:
        return False
    finally:
        gc.collect()
        torch.cuda.empty_cache()
    return taken <= room


def _on_cpu(trial: Trial, offered: list[int], memory: int) -> int:
    a_sample = (kept_bytes(trial(offered[1])) - kept_bytes(trial(offered[0]))) / (offered[1] - offered[0])
    fitting = [size for size in offered if BESIDE * a_sample * size <= memory]
    return fitting[-1] if fitting else offered[0]


def kept_bytes(training: Training) -> int:
    """Bytes that the first step of a training keeps between its forward and its backward pass, weights included."""
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        training.run(stop_after=1)
    return sum(kept.values())
