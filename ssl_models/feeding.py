"""Batches of samples on the device that works on them: each is read while the one before it is worked on.

Samples that fit are held on the device whole. Legend: N samples, B of a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ssl_models.parallel import processes
from ssl_models.rows import BLOCK, Samples

Source = Tensor | Samples
"""One part of the samples, (N, ...)."""

Index = TypeVar("Index", Tensor, slice)

SHARE = 4
"""Samples are held if they take at most one part in so many of the memory that is free."""
LARGEST = 2**30
"""Bytes of main memory that samples are held in at most: what is read in the background is as fast."""


def held(parts: Sequence[Source], device: torch.device) -> list[Source]:
    """The same parts, as tensors on `device` where all of them together fit there.

    Arrays in memory are tensors in any case, and nothing of a file is read that does not fit. The memory that is free
    is measured now: whatever else needs the device must be there already.
    """
    found: list[Source] = [torch.from_numpy(_plain(part)) if _in_memory(part) else part for part in parts]
    if all(isinstance(part, Tensor) and part.device.type == device.type for part in found):
        return found
    if sum(part.nbytes for part in found) > room(device):
        return found
    return [_placed(part, device) for part in found]


def batches(
    parts: Sequence[Source],
    order: Iterable[Index],
    device: torch.device,
    *,
    read: Callable[[Index], Index] = lambda index: index,
) -> Generator[tuple[Index, list[Tensor]], None, None]:
    """For each index of `order`, (B,) int64 or a slice, itself and those samples of every part, on `device`.

    read: which samples of an index are read; by default all.

    The next batch is read by a thread, which ends with the iteration; its errors are raised here. On a GPU, batches
    come by way of pinned memory. Where all parts are on the device, nothing is read beforehand.
    """
    if all(isinstance(part, Tensor) and part.device.type == device.type for part in parts):
        for index in order:
            yield index, [_rows(part, read(index)) for part in parts]
        return
    pinned = device.type == "cuda"

    def fetch(index: Index) -> list[Tensor]:
        found = [_rows(part, read(index)) for part in parts]
        return [part.pin_memory() if pinned and not part.is_cuda else part for part in found]

    with ThreadPoolExecutor(1, "rows", _on_own_device(device)) as reader:
        ahead: tuple[Index, Future[list[Tensor]]] | None = None
        for index in order:
            now, ahead = ahead, (index, reader.submit(fetch, index))
            if now is not None:
                yield now[0], _moved(now[1], device)
        if ahead is not None:
            yield ahead[0], _moved(ahead[1], device)


def slices(count: int, size: int) -> Iterator[slice]:
    """`count` samples in batches of `size`, in order; the last may be smaller."""
    return (slice(start, min(count, start + size)) for start in range(0, count, size))


def _on_own_device(device: torch.device) -> Callable[[], None] | None:
    """What a new thread does first: it would have the first GPU as its own, and not that of the process."""
    return partial(torch.cuda.set_device, torch.cuda.current_device()) if device.type == "cuda" else None


def _moved(batch: Future[list[Tensor]], device: torch.device) -> list[Tensor]:
    return [part.to(device, non_blocking=True) for part in batch.result()]


def _rows(part: Source, index: Tensor | slice) -> Tensor:
    if isinstance(part, Tensor):
        return part[index.to(part.device) if isinstance(index, Tensor) else index]
    return torch.from_numpy(_plain(part[index.numpy() if isinstance(index, Tensor) else index]))


def _in_memory(part: Source) -> bool:
    return isinstance(part, np.ndarray) and not isinstance(part, np.memmap)


def _plain(array: Source) -> np.ndarray:
    """An array that torch takes without a warning: copied only where it must be."""
    assert isinstance(array, np.ndarray)
    usable = array.flags.writeable and array.flags.c_contiguous and not isinstance(array, np.memmap)
    return array if usable else np.array(array, order="C")


def room(device: torch.device) -> int:
    """Bytes of the samples that are held on a device, at most; larger ones stay where they are. Measured now."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info()
        return int(free) // SHARE
    import psutil

    return min(LARGEST, psutil.virtual_memory().available // SHARE // processes.world())


def _placed(part: Source, device: torch.device) -> Tensor:
    """All of a part on the device; of a file there is never more in main memory than a block, if it is another one."""
    if isinstance(part, Tensor):
        return part.to(device)
    few = _rows(part, slice(0, 0))
    whole = torch.empty(part.shape, dtype=few.dtype, device=device)
    for block in slices(len(part), max(1, BLOCK * len(part) // max(1, part.nbytes))):
        whole[block] = _rows(part, block)
    return whole
