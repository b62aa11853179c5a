"""All states of a few units of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

MOST = 20
"""Units whose states are all gone through: about a million."""
AT_ONCE = 2**16
"""States that are in memory at once."""


def states(units: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """(S, units) float32 at a time, all 2^units states in all; unit 0 is the lowest bit of a state's number.

    Raises ValueError for more than MOST units.
    """
    if units > MOST:
        raise ValueError(f"there are 2^{units} states; all are gone through for at most {MOST} units")
    bits = torch.arange(units, device=device)
    for begin in range(0, 2**units, AT_ONCE):
        numbers = torch.arange(begin, min(begin + AT_ONCE, 2**units), device=device)
        yield ((numbers.unsqueeze(1) >> bits) & 1).float()


def log_sum(units: int, of: Callable[[Tensor], Tensor], device: torch.device | str = "cpu") -> Tensor:
    """log of the sum of exp(of(state)) over all states (). of: (S, units) -> (S,).

    With gradients. Where there are several pieces, what `of` computes of one is computed anew for them, so that one
    piece at a time is in memory there, too.
    """

    several = 2**units > AT_ONCE and torch.is_grad_enabled()

    def piece(some: Tensor) -> Tensor:
        return of(some).logsumexp(0)

    def kept(some: Tensor) -> Tensor:
        again = checkpoint(piece, some, use_reentrant=False, preserve_rng_state=False) if several else piece(some)
        return cast("Tensor", again)

    return torch.stack([kept(some) for some in states(units, device)]).logsumexp(0)
