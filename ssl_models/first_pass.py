"""Shows all samples once to a method that wants to meet them before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial

import torch
from torch import Tensor

from ssl_models.feeding import Source, batches
from ssl_models.hardware import autocast
from ssl_models.method import Method
from ssl_models.parallel.view_shares import make_views, rows_read


@torch.no_grad()
def show_all(
    method: Method,
    parts: Sequence[Source],
    batch_size: int,
    seed: Callable[..., int],
    device: torch.device,
    precision: str,
) -> None:
    """Calls `method.meet` with the views of all samples, in batches of `batch_size`, in order.

    The last batch holds samples of the one before, where the batches would not end with the samples. seed: the number
    of a batch -> that of the generator of its views; "loss" and that number -> that of the global one, which dropout
    draws from. precision: as resolved.
    """
    order = _order(len(parts[0]), batch_size)
    with closing(batches(parts, order, device, read=partial(rows_read, method))) as ahead:
        for number, (index, batch) in enumerate(ahead):
            views = make_views(method, batch, seed=seed(number), device=device)
            torch.manual_seed(seed("loss", number))
            with autocast(precision, device):
                method.meet(*views, index=index.to(device))


def _order(samples: int, size: int) -> Iterator[Tensor]:
    for start in range(0, samples, size):
        yield torch.arange(size) + min(start, samples - size)
