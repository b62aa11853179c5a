"""Features that a method keeps between steps: a bank with one of each sample, or a queue of the newest."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from ssl_models.bounds import require_fraction, require_positive
from ssl_models.losses.contrastive import similarity

EXCLUDED = -1e4
"""The logit of a row that may not be a negative: exp() of it is 0, and no infinity can meet another."""


def random_unit_vectors(count: int, dim: int, generator: Generator | None) -> Tensor:
    """(count, dim) float32, uniform on the sphere, from `generator` or the global one."""
    return functional.normalize(torch.randn(count, dim, generator=generator), dim=1)


class MemoryBank(nn.Module):
    """One unit vector for each of N samples: buffer `rows` (N, D), checkpointed, without gradient.

    Wu et al. 2018 (arXiv:1805.01978, section 3.1): initialised as random unit vectors, here from `generator` or the
    global one.
    """

    def __init__(self, samples: int, dim: int, generator: Generator | None = None) -> None:
        super().__init__()
        self.rows: Tensor
        self.register_buffer("rows", random_unit_vectors(samples, dim, generator))

    @torch.no_grad()
    def update(self, index: Tensor, features: Tensor, momentum: float) -> None:
        """Rows `index` (B,), all different, become normalised `momentum * row + (1 - momentum) * features` (B, D)."""
        require_fraction(momentum=momentum)
        moved = momentum * self.rows[index] + (1 - momentum) * features.to(self.rows.dtype)
        self.rows[index] = functional.normalize(moved, dim=1)

    def negatives(self, count: int, generator: Generator) -> Tensor:
        """(count,) int64 row numbers, uniform with replacement; all rows in order where count is their number.

        A batch shares them, so that the comparison is one matrix product. They may include rows of the batch itself:
        `logits` excludes each sample's own row.
        """
        if count == len(self.rows):
            return torch.arange(count, device=self.rows.device)
        return torch.randint(len(self.rows), (count,), generator=generator, device=generator.device)

    def logits(self, query: Tensor, index: Tensor, negatives: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Unit queries (B, D) of samples `index` against the bank: (B,) with their own row, (B, N) with `negatives`.

        Cosine similarities divided by temperature, float32. A negative that is the sample's own row has the logit
        EXCLUDED.
        """
        positive = (query.float() * self.rows[index]).sum(1) / temperature
        negative = similarity(query, self.rows[negatives]) / temperature
        return positive, negative.masked_fill(index[:, None] == negatives, EXCLUDED)


def rows_compared(negatives: int | None, samples: int) -> tuple[int, int]:
    """The number of rows that a batch is compared with, and the least number of them that are not a sample's own.

    negatives: None for 1,024, or all where there are fewer; 0 for all. Raises ValueError for more than there are.
    """
    count = min(1024, samples) if negatives is None else negatives
    if samples < 2 or not 0 <= count <= samples:
        raise ValueError(f"negatives is {count}; {samples} samples allow 1 to that many, or 0 for all")
    count = count or samples
    return count, min(count, samples - 1)


class Queue(nn.Module):
    """The newest K keys, first in, first out: buffers `rows` (K, D) of unit vectors, and `pointer` to the oldest row.

    He et al. 2020 (arXiv:1911.05722, section 3.2): the queue can be larger than a batch, and the oldest batch, which is
    least consistent with the present encoder, is replaced first. It has K rows from the start: random unit vectors from
    `generator` or the global one, which the first K keys replace.
    """

    def __init__(self, size: int, dim: int, generator: Generator | None = None) -> None:
        super().__init__()
        require_positive(size=size, dim=dim)
        self.rows: Tensor
        self.pointer: Tensor
        self.register_buffer("rows", random_unit_vectors(size, dim, generator))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def push(self, keys: Tensor) -> None:
        """Writes (B, D) unit vectors over the B oldest rows; of more than K keys, only the last K are kept.

        Rows are used in a circle, so B need not divide K. The pointer stays on the device, so that nothing waits for
        it.
        """
        keys = keys[-len(self.rows) :]
        places = (self.pointer + torch.arange(len(keys), device=self.rows.device)) % len(self.rows)
        self.rows[places] = keys.to(self.rows.dtype)
        self.pointer.add_(len(keys)).remainder_(len(self.rows))
