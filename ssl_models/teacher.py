"""The teacher: a copy of a network that follows it slowly and is not trained by gradients."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from ssl_models.bounds import require_fraction


def momentum_at(start: float, end: float, progress: float) -> float:
    """A teacher's momentum, which goes from `start` to `end` by half a cosine (Grill et al. 2020, arXiv:2006.07733).

    Their section 3.3: 1 - (1 - start) * (cos(pi k / K) + 1) / 2 for `end` 1. progress: k / K, share of the training.
    """
    return end - (end - start) * (math.cos(math.pi * progress) + 1) / 2


class Teacher(nn.Module):
    """A momentum copy of a module: it starts equal, follows by `update`, and takes no gradient.

    He et al. 2020 (arXiv:1911.05722, eq. 2). Its parameters need no gradient, so no optimiser holds them, but they are
    in the state dict. `update` leaves its buffers alone, as the authors' code does: in training mode the teacher
    normalises by its own batch, and its running statistics come from its own forward passes. The statistics of the
    source would belong to other weights.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def forward(self, *inputs: Tensor) -> Any:
        """The output of the copied module, without gradient."""
        return self.module(*inputs)

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Every parameter becomes `momentum * own + (1 - momentum) * source's`; `source` is built like the copy."""
        require_fraction(momentum=momentum)
        own: list[Tensor] = list(self.module.parameters())
        followed: list[Tensor] = list(source.parameters())
        if [parameter.shape for parameter in own] != [parameter.shape for parameter in followed]:
            raise ValueError("source has other parameters than the module that this teacher is a copy of")
        torch._foreach_mul_(own, momentum)
        torch._foreach_add_(own, followed, alpha=1 - momentum)
