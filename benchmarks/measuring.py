"""Clocks, and comparisons made of pairs: ours, the other, ours, the other, so that a slow minute slows both."""

from __future__ import annotations

import ctypes
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil
import torch

from benchmarks.rows import Spread
from ssl_models.datasets import world
from ssl_models.datasets._common.split import Split


@dataclass(frozen=True)
class Effort:
    """How long to measure. pairs: of each comparison. seconds: about, of each side of a pair. quick: a trial only."""

    pairs: int = 5
    seconds: float = 3.0
    quick: bool = False


QUICK = Effort(pairs=1, seconds=0.2, quick=True)


def spread(values: Sequence[float]) -> Spread:
    return Spread(statistics.median(values), min(values), max(values))


def compare(ours: Callable[[], float], other: Callable[[], float], pairs: int) -> tuple[Spread, Spread, Spread]:
    """Spreads of ours, of the other, and of the pairs' ratios ours / other; both give a rate, or both seconds."""
    taken = [(ours(), other()) for _ in range(pairs)]
    mine, others = zip(*taken, strict=True)
    return spread(mine), spread(others), spread([first / second for first, second in taken])


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call, with all that it left to a graphics card."""
    synchronise()
    started = time.perf_counter()
    work()
    synchronise()
    return time.perf_counter() - started


def rate_of(work: Callable[[int], object], units: int, seconds: float) -> Callable[[], float]:
    """A measurement of units a second. `work(n)` does n repetitions of `units` each; n is settled here, once warm."""
    work(1)
    count = max(1, round(2 * seconds / seconds_of(lambda: work(2))))
    return lambda: count * units / seconds_of(lambda: work(count))


def resident() -> int:
    """Bytes of main memory that this process holds; what its allocator has free is given back before, under glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of torch while the block lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pictures(count: int) -> Split:
    """`count` labelled pictures of the world, (count, 3, 32, 32) uint8."""
    return world.load(seed=0, train=count, test=1, size=32).train
