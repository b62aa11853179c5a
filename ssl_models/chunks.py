"""A step in the memory of a smaller one: encoders and decoders take a batch in chunks, and forget what lies between.

Only a chunk's inputs and outputs stay. In the backward pass each chunk is computed once more, with what its gradient
needs, and is done with before the next: the gradients of all chunks add up. So heads, losses, banks and queues see the
whole batch, and any loss keeps its gradient to rounding, a contrastive one too (Gao et al. 2021, arXiv:2101.06983,
section 3.2; recomputing by Chen et al. 2016, arXiv:1604.06174). The price is one more forward pass: a step takes up to
a third longer, and more where the network is so small that calls count. What a method calls of an encoder besides, such
as single blocks, is not divided.

Not exact: batch normalisation within an encoder or decoder, whose statistics are those of a chunk, as several GPUs
without synchronised statistics have them; and dropout, whose draws are other ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from ssl_models.parallel.encoder_shards import SHARED
from ssl_models.parallel.processes import world


@contextmanager
def chunked(method: nn.Module, rows: int) -> Iterator[None]:
    """Within this context, the encoders and decoders of `method` take at most `rows` rows at once; 0: all.

    A row is what an encoder takes as one: a view of a sample, or a tile of it. Several processes share a chunk, which
    has `rows` for each; this context then lies within that of `sharing`. The chunks are those of one process, so the
    views that processes have made in parts (parallel/view_shares.py) are gathered first. Raises ValueError as `refuse`
    does.
    """
    refuse(method, rows)
    if rows == 0:
        yield
        return
    region, before = _Region(rows), [(module, name, vars(module).get(name)) for module, name in divisible(method)]
    try:
        for module, name, _ in before:
            vars(module)[name] = region.divided(module, getattr(module, name))
        yield
    finally:
        for module, name, own in before:
            del vars(module)[name]
            if own is not None:
                vars(module)[name] = own


def refuse(method: nn.Module, rows: int) -> None:
    """Raises ValueError for chunks without rows, or of one, of which batch normalisation has no statistics."""
    if rows < 0 or (rows == 1 and inexact(method)):
        least = "0, which takes all rows at once" if rows < 0 else "2 where there is batch normalisation"
        raise ValueError(f"machine.chunk is {rows}; it must be at least {least}")


def divisible(method: nn.Module) -> list[tuple[nn.Module, str]]:
    """The encoders and decoders of a method, each with the functions of it in which no row depends on another."""
    return [
        (module, name)
        for module in method.modules()
        for kind, names in SHARED.items()
        if isinstance(module, kind)
        for name in names
        if hasattr(module, name)
    ]


@contextmanager
def as_written(module: nn.Module) -> Iterator[None]:
    """Within this context, encoders and decoders compute as their code says: not compiled, shared or in chunks."""
    replaced = [(part, name, vars(part).pop(name)) for part, name in divisible(module) if name in vars(part)]
    try:
        yield
    finally:
        for part, name, own in replaced:
            vars(part)[name] = own


def inexact(method: nn.Module) -> str:
    """What in a method's encoders and decoders makes chunks differ from the whole batch; empty where nothing does."""
    inside = {part for module, _ in divisible(method) for part in module.modules()}
    return "batch normalisation" if any(isinstance(part, _BatchNorm) for part in inside) else ""


class _Region:
    """Knows whether a chunk is being computed, which a module inside a module must not divide again."""

    def __init__(self, rows: int) -> None:
        self.rows, self.inside = rows, False

    def lengths(self, batch: int) -> list[int]:
        """Of the chunks of a batch: equal to one row, or to one of each process where the batch divides by them."""
        each = world() if batch % world() == 0 else 1
        units, most = batch // each, self.rows * world() // each
        count = -(-units // most)
        return [each * (units // count + (number < units % count)) for number in range(count)]

    def divided(self, module: nn.Module, function: Callable[..., Any]) -> Callable[..., Any]:
        """(B, ...) -> tensors (B', ...), computed by chunks and joined."""
        statistics = [
            tensor
            for part in module.modules()
            if isinstance(part, _BatchNorm)
            for tensor in (part.running_mean, part.running_var, part.num_batches_tracked)
            if tensor is not None
        ]

        def whole(*inputs: Tensor) -> Any:
            before, self.inside = self.inside, True
            try:
                return function(*inputs)
            finally:
                self.inside = before

        def again() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), _kept(statistics)

        def run(*inputs: Tensor) -> Any:
            lengths = self.lengths(len(inputs[0]))
            if self.inside or len(lengths) == 1:
                return whole(*inputs)
            chunks = zip(*(torch.split(part, lengths) for part in inputs), strict=True)
            if not torch.is_grad_enabled():
                return _joined([whole(*chunk) for chunk in chunks])
            return _joined([checkpoint(whole, *chunk, use_reentrant=False, context_fn=again) for chunk in chunks])

        return run


@contextmanager
def _kept(statistics: Sequence[Tensor]) -> Iterator[None]:
    """Leaves running statistics as they were: the first pass has counted this chunk.

    It writes to `data`, unseen by autograd, which may have saved them and does not need their values.
    """
    before = [tensor.clone() for tensor in statistics]
    try:
        yield
    finally:
        for tensor, value in zip(statistics, before, strict=True):
            tensor.data.copy_(value)


def _joined(outputs: Sequence[Any]) -> Any:
    """Tensors, or dicts of tensors, of the chunks -> those of the whole batch."""
    if isinstance(outputs[0], dict):
        return {name: torch.cat([output[name] for output in outputs]) for name in outputs[0]}
    return torch.cat(list(outputs))
