"""Optimisers by name, without weight decay on biases and norms; and the schedules of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017, arXiv:1708.03888, algorithm 1) around SGD with momentum.

    Each weight's step is scaled by trust * |w| / |g + weight_decay * w|; biases and norms (parameters of one
    dimension) are neither scaled nor decayed, as in SimCLR (arXiv:2002.05709, section 2.1).
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad
                if parameter.ndim > 1:
                    gradient = gradient.add(parameter, alpha=group["weight_decay"])
                    weight_norm, gradient_norm = parameter.norm(), gradient.norm()
                    ratio = group["trust"] * weight_norm / gradient_norm
                    gradient = gradient * torch.where((weight_norm > 0) & (gradient_norm > 0), ratio, 1.0)
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
                parameter.sub_(state["momentum_buffer"], alpha=group["lr"])


OPTIMIZERS = ("sgd", "adamw", "lars")


def build_optimizer(
    module: nn.Module, name: str, *, learning_rate: float, momentum: float, weight_decay: float
) -> Optimizer:
    """SGD with Nesterov momentum, AdamW or LARS over a module's parameters; those of one dimension are not decayed.

    AdamW moves tables of embeddings by its fused kernel: all rows move in each step, and it is some seven times faster
    on tables that exceed the processor's cache. It rounds differently, so other weights keep the plain one.
    """
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)} if name == "adamw" else ()
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if id(weight) not in tables], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trained if parameter.ndim <= 1], "weight_decay": 0.0},
    ]
    if embedded := [weight for weight in weights if id(weight) in tables]:
        groups.append({"params": embedded, "weight_decay": weight_decay, "fused": True, "foreach": False})
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, nesterov=momentum > 0)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=learning_rate, betas=(momentum, 0.999))
    if name == "lars":
        return LARS(groups, lr=learning_rate, momentum=momentum)
    raise ValueError(f"optimizer '{name}' is unknown; choose one of {', '.join(OPTIMIZERS)}")


SCHEDULES = ("cosine", "steps", "constant")


def learning_rate_at(
    step: int,
    *,
    steps: int,
    warmup: int,
    peak: float,
    schedule: str = "cosine",
    milestones: Sequence[float] = (),
    decay: float = 1.0,
) -> float:
    """Linear warm-up over `warmup` steps to `peak`, and then one of SCHEDULES.

    "cosine": half a cosine down to zero at `steps` (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5). "steps": times
    `decay` from each of `milestones` on, shares of `steps` that are rounded to whole steps; those that pass during
    warm-up take effect at its end. "constant": the peak.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    passed = sum(step >= round(share * steps) for share in milestones) if schedule == "steps" else 0
    return peak * decay**passed


def require_steps(milestones: Sequence[float], decay: float) -> None:
    """Refuses milestones that are none, do not rise or lie outside (0, 1), and a decay outside (0, 1]."""
    bounds = [0.0, *milestones, 1.0]
    if len(bounds) == 2 or not all(earlier < later for earlier, later in pairwise(bounds)):
        raise ValueError(f"milestones is {list(milestones)}; they must be rising shares of the training in (0, 1)")
    if not 0 < decay <= 1:
        raise ValueError(f"decay is {decay}; it must lie in (0, 1]")
