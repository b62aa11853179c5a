"""Langevin dynamics: a step downhill on the energy, and noise; with Metropolis' correction it is exact.

Rossky, Doll & Friedman 1978; Roberts & Tweedie 1996 ("Exponential convergence of Langevin distributions and their
discrete approximations", Bernoulli 2), where it is called MALA.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

Energy = Callable[[Tensor], Tensor]
"""(B, D) -> (B,)."""


def score(energy: Energy, x: Tensor, *, keep: bool = False) -> Tensor:
    """(B, D): -dE/dx, the gradient of log p. keep: whether gradients of it can be taken."""
    with torch.enable_grad():
        at = x if keep and x.requires_grad else x.detach().requires_grad_()
        (found,) = torch.autograd.grad(energy(at).sum(), at, create_graph=keep)
    return -found


def langevin(
    energy: Energy, x: Tensor, steps: int, step: float, generator: Generator, *, adjust: bool = True
) -> Tensor:
    """(B, D) -> (B, D) after so many steps x + step^2 / 2 * score(x) + step * noise; without gradients.

    step: the deviation of the noise, in units of x. adjust: whether a step is taken with Metropolis' probability, so
    that exp(-E) stays as it is; without, its distribution is another one, by more for larger steps.
    """
    x = x.detach()
    for _ in range(steps):
        x = _step(energy, x, step, generator, adjust)
    return x


def _step(energy: Energy, x: Tensor, step: float, generator: Generator, adjust: bool) -> Tensor:
    noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x.device)
    drift = step**2 / 2 * score(energy, x)
    ahead = x + drift + step * noise
    if not adjust:
        return ahead
    draws = torch.rand(len(x), generator=generator, device=generator.device).to(x.device)
    back = x - ahead - step**2 / 2 * score(energy, ahead)
    with torch.no_grad():
        log_ratio = energy(x) - energy(ahead) + noise.square().sum(1) / 2 - back.square().sum(1) / (2 * step**2)
        return torch.where((draws.log() < log_ratio).unsqueeze(1), ahead, x)
