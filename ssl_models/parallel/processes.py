"""One training in several processes: under torchrun with a GPU each (NCCL), or on CPUs (gloo).

Every process, called a rank, holds the whole method and is given all data, of which it reads at each step what it makes
views of. view_shares.py divides the making of views between them, with the random numbers that one process draws, and
encoder_shards.py the work of encoders and decoders. So losses, banks, queues and teachers are the same on every rank,
and the same as in one process, except for the order of additions.

Without a process group, the functions here do nothing, and no byte changes.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def joined() -> bool:
    """Whether this process belongs to a process group, which may have one member."""
    return dist.is_available() and dist.is_initialized()


def world() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if joined() else 1


def rank() -> int:
    """The number of this process among them, from 0. Only rank 0 calls its observer and saves."""
    return dist.get_rank() if joined() else 0


@contextmanager
def joining() -> Iterator[None]:
    """Joins the process group that torchrun describes by RANK, WORLD_SIZE, LOCAL_RANK and MASTER_....

    With CUDA, the device "cuda" is the GPU of number LOCAL_RANK from then on. Raises ValueError where there is none.
    """
    if torch.cuda.is_available():
        local, devices = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if local >= devices:
            raise ValueError(
                f"process {local} of this machine has no GPU of its own, as there are {devices}; start at most as many "
                "processes as there are GPUs"
            )
        torch.cuda.set_device(local)
        dist.init_process_group("nccl", device_id=torch.device("cuda", local))
    else:
        dist.init_process_group("gloo")
    yield
    dist.destroy_process_group()  # not after an error: it could wait for ranks that hang


def require_shares(batch_size: int, processes: int) -> None:
    """Refuses a batch that cannot be divided equally."""
    if batch_size % processes:
        raise ValueError(
            f"batch_size {batch_size} cannot be shared equally by {processes} processes; it is the size of the whole "
            f"batch, so choose a multiple of {processes}, such as {(batch_size // processes + 1) * processes}"
        )


def describe(module: nn.Module, parts: Sequence[Any], device: torch.device) -> str:
    """A line that tells what a rank trains: the method, the data, torch and the device. Ranks compare it.

    parts: of the samples, each (N, ...), tensors or in files. Some of the samples stand for all. The device's name is
    included because another model of GPU may draw other views from the same seed.
    """
    shapes = str({name: list(tensor.shape) for name, tensor in module.state_dict().items()})
    size = hashlib.blake2b(shapes.encode(), digest_size=8).hexdigest()
    some = [float(torch.as_tensor(part[:: max(1, len(part) // 1024)]).cpu().sum(dtype=torch.float64)) for part in parts]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return (
        f"{type(module).__name__} {size}, {len(parts[0])} samples of "
        f"{', '.join(str(tuple(part.shape[1:])) for part in parts)}, checksum {some}, "
        f"torch {torch.__version__} on {name}"
    )


def require_same(describe: Callable[[], str]) -> None:
    """Refuses, on every rank, to train together with a rank that would train something else."""
    if world() == 1:
        return
    found: list[Any] = [None] * world()
    dist.all_gather_object(found, describe())
    for number, other in enumerate(found):
        if other != found[0]:
            raise ValueError(
                f"process {number} would train something else than process 0 ({other} against {found[0]}); all "
                "processes need the same code, parameters, data, torch and kind of GPU"
            )


def all_rows(local: Tensor) -> Tensor:
    """(n, ...) of each rank -> (ranks * n, ...), in the order of ranks."""
    if world() == 1:
        return local
    whole = local.new_empty(world() * len(local), *local.shape[1:])
    dist.all_gather_into_tensor(whole, local.contiguous())
    return whole


def own_rows(whole: Tensor) -> Tensor:
    """(ranks * n, ...) -> this rank's (n, ...)."""
    rows = len(whole) // world()
    return whole[rank() * rows : (rank() + 1) * rows]


def from_first(content: Any, device: torch.device) -> Any:
    """The value of rank 0, on every rank: plain values and tensors, these on `device`."""
    if world() == 1:
        return content
    buffer = io.BytesIO()
    if rank() == 0:
        torch.save(content, buffer)
    box = [buffer.getvalue()]
    dist.broadcast_object_list(box, src=0)
    return content if rank() == 0 else torch.load(io.BytesIO(box[0]), map_location=device, weights_only=True)


@torch.no_grad()
def agree(module: nn.Module) -> None:
    """Every rank takes the parameters and buffers of rank 0, byte for byte.

    Equal computations can still differ where a GPU adds up in no fixed order, and ranks would drift apart.
    """
    if world() == 1:
        return
    for tensor in (*module.parameters(), *module.buffers()):
        whole = tensor.detach().contiguous()
        dist.broadcast(whole, src=0)
        tensor.copy_(whole)


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """Every tensor becomes its mean over all ranks, in place. All are sent at once."""
    if world() == 1:
        return
    kinds: dict[torch.dtype, list[Tensor]] = {}
    for tensor in tensors:
        kinds.setdefault(tensor.dtype, []).append(tensor)
    for alike in kinds.values():
        flat = torch.cat([tensor.flatten() for tensor in alike])
        dist.all_reduce(flat)
        flat /= world()
        for tensor, part in zip(alike, torch.split(flat, [tensor.numel() for tensor in alike]), strict=True):
            tensor.copy_(part.view(tensor.shape))
