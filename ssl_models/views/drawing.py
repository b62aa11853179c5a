"""Random numbers of views: one for each sample of the batch, or of a share of it, from a generator.

Several processes divide a batch, and each makes the views of its own samples (ssl_models/parallel/view_shares.py). Its
numbers are those that the samples have in the whole batch: given a Share, these functions draw for the whole batch and
keep the share's part. This costs a draw of the whole, also for noise of the size of the pictures; only the numbers are
worked out for all, and nothing else is. With an ordinary generator they are plain draws.

In each shape one axis counts samples, or parts of samples (tiles) that lie next to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Generator, Tensor

LARGEST_SEED = 2**62


class Share(Generator):
    """A generator for the views of one of equal, consecutive parts of a batch.

    number: of the part, from 0. shares: how many parts there are.
    """

    number: int
    shares: int

    def __new__(cls, device: torch.device | str, number: int, shares: int) -> Self:
        share = super().__new__(cls, device)  # type: ignore[call-arg]
        share.number, share.shares = number, shares
        return share


def uniform(generator: Generator, *shape: int, axis: int = 0) -> Tensor:
    """Float32 draws (*shape) from [0, 1) on the generator's device. axis: that of the samples."""
    return _kept(lambda full: torch.rand(full, generator=generator, device=generator.device), generator, shape, axis)


def normal(generator: Generator, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Draws (*shape) of mean 0 and deviation 1; samples along the first axis."""
    return _kept(
        lambda full: torch.randn(full, generator=generator, device=generator.device, dtype=dtype), generator, shape, 0
    )


def below(generator: Generator, most: int, *shape: int) -> Tensor:
    """Int64 draws (*shape) from 0 to `most` - 1; samples along the first axis."""
    return _kept(
        lambda full: torch.randint(most, full, generator=generator, device=generator.device), generator, shape, 0
    )


def seed(generator: Generator) -> Tensor:
    """(1,) int64, for draws that are left to `loss`: of the batch as a whole, so that `layout` gives 0 for it."""
    return torch.randint(LARGEST_SEED, (1,), generator=generator, device=generator.device)


def seeded(seed: Tensor, device: torch.device) -> Generator:
    """A generator of its own, which begins at a seed that `seed` drew."""
    return Generator(device).manual_seed(int(seed))


def in_batch(generator: Generator, count: int) -> int:
    """How many samples, or parts of samples, the whole batch has, of which views of `count` are made."""
    return count * generator.shares if isinstance(generator, Share) else count


def _kept(draw: Callable[[list[int]], Tensor], generator: Generator, shape: Sequence[int], axis: int) -> Tensor:
    full = list(shape)
    full[axis] = in_batch(generator, shape[axis])
    drawn = draw(full)
    return drawn.narrow(axis, generator.number * shape[axis], shape[axis]) if isinstance(generator, Share) else drawn
