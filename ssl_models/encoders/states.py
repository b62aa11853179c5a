"""All states of a few units of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

MOST = 20
"""Units whose states are all gone through: about a million."""
AT_ONCE = 2**16
"""States in a piece. Without gradients one piece at a time is in memory."""


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
    """log of the sum of exp(of(state)) over all states (), with gradients. of: (S, units) -> (S,).

    Raises ValueError for more than MOST units.
    """
    return torch.stack([of(some).logsumexp(0) for some in states(units, device)]).logsumexp(0)
