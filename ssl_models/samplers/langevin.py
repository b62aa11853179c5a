"""Langevin dynamics: a step downhill on the energy, and noise; with Metropolis' correction it is exact.

Rossky, Doll & Friedman 1978; Roberts & Tweedie 1996 ("Exponential convergence of Langevin distributions and their
discrete approximations", Bernoulli 2), where it is called MALA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle, islice

import torch
from torch import Generator, Tensor

from ssl_models.bounds import require_positive

Energy = Callable[[Tensor], Tensor]
"""(B, D) -> (B,)."""


def score(energy: Energy, x: Tensor, *, keep: bool = False) -> Tensor:
    """(B, D): -dE/dx, the gradient of log p, without autocast, which would round what is computed backwards.

    keep: whether gradients of it can be taken, by x and by weights.
    """
    at = x if keep and x.requires_grad else x.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        (found,) = torch.autograd.grad(energy(at).sum(), at, create_graph=keep)
    return -found


def langevin(
    energy: Energy, x: Tensor, steps: int, step: float | Sequence[float], generator: Generator, *, adjust: bool = True
) -> Tensor:
    """(B, D) -> (B, D) after so many steps x + step^2 / 2 * score(x) + step * noise; without gradients.

    step: the deviation of the noise, in units of x; several are taken in turn. adjust: whether a step is taken with
    Metropolis' probability, so that exp(-E) stays as it is; without, its distribution is another one, by more for
    larger steps. Each step costs one energy and its gradient. Raises ValueError for a step that is not above 0.
    """
    return followed(energy, x, steps, step, generator, adjust=adjust)[0]


def followed(
    energy: Energy, x: Tensor, steps: int, step: float | Sequence[float], generator: Generator, *, adjust: bool = True
) -> tuple[Tensor, Tensor]:
    """What `langevin` gives, and the share of steps that were taken (); 1 without Metropolis' correction."""
    lengths = [step] if isinstance(step, float | int) else step
    for length in lengths:
        require_positive(step=length)
    here, shares = _looked_at(energy, x.detach()), []
    for length in islice(cycle(lengths), steps):
        here, taken = _stepped(energy, here, length, generator, adjust)
        shares.append(taken.float().mean())
    return here[0], torch.stack(shares).mean() if shares else x.new_ones(())


Place = tuple[Tensor, Tensor, Tensor]
"""Where chains are (B, D), their energies (B,) and scores (B, D)."""


def _looked_at(energy: Energy, x: Tensor) -> Place:
    """Without autocast, as `score`."""
    at = x.requires_grad_()
    with torch.enable_grad(), torch.autocast(x.device.type, enabled=False):
        found = energy(at)
        (slope,) = torch.autograd.grad(found.sum(), at)
    return at.detach(), found.detach(), -slope


def _stepped(energy: Energy, here: Place, step: float, generator: Generator, adjust: bool) -> tuple[Place, Tensor]:
    """Where chains are after a step, and which of them have taken it (B,)."""
    x, before, pull = here
    noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
    there = _looked_at(energy, x + step**2 / 2 * pull + step * noise)
    if not adjust:
        return there, torch.ones_like(before, dtype=torch.bool)
    ahead, after, pull_back = there
    back = x - ahead - step**2 / 2 * pull_back
    log_ratio = before - after + noise.square().sum(1) / 2 - back.square().sum(1) / (2 * step**2)
    draws = torch.rand(len(x), generator=generator, device=generator.device).to(x.device)
    taken = draws.log() < log_ratio
    rows = taken.unsqueeze(1)
    place = torch.where(rows, ahead, x), torch.where(taken, after, before), torch.where(rows, pull_back, pull)
    return place, taken
