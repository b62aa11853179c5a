"""Optimisers by name, without weight decay on biases and norms; and the learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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


def learning_rate_at(step: int, *, steps: int, warmup: int, peak: float) -> float:
    """Linear warm-up over `warmup` steps, then half a cosine down to zero at `steps` (Loshchilov 2017, eq. 5)."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
