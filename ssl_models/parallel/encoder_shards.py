"""Divides an encoder's batch among several processes (ranks) and gathers the results on all of them.

The expensive part is divided: an encoder or a decoder is given a batch, processes its rank's equal share of the rows,
and the results of all ranks are gathered. So a head, a loss, a bank, a queue or a teacher has the same input as in one
process, and no method needs to know of ranks. Within a share, batch normalisation uses the statistics of the whole
batch. A batch that cannot be divided equally (a small group of MoCo's, for example) is processed whole by every rank,
which is slower and gives the same result. The same holds for all other parts. A view that the ranks have made in parts
(view_shares.py) is processed by the rank that has made it.

Gradients. Every rank has the whole loss, and so the whole gradient of everything after a gathering. In the backward
pass of a gathering, a rank takes the gradient of its own rows times the number of ranks. Then the mean over ranks,
which `processes.average` takes of every parameter's gradient, is the sum over the shares for divided parts, and changes
nothing for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from ssl_models.decoder import Decoder
from ssl_models.encoders.encoder import Encoder
from ssl_models.parallel.processes import all_rows, own_rows, world
from ssl_models.parallel.view_shares import Divided, in_order
from ssl_models.patch_decoder import PatchDecoder

SHARED: dict[type[nn.Module], tuple[str, ...]] = {
    Encoder: ("forward", "layers", "frames", "of_shown"),
    Decoder: ("forward",),
    PatchDecoder: ("forward",),
}
"""The modules and those of their functions that are divided: rows in, rows out, and no row depends on another."""


@contextmanager
def sharing(method: nn.Module) -> Iterator[None]:
    """Within this context, the encoders and decoders of `method` divide their batches among all ranks.

    Raises ValueError where one of them draws random numbers: ranks would not draw what one process draws.
    """
    if world() == 1:
        yield
        return
    region = _Region()
    changed: list[tuple[nn.Module, str]] = []
    try:
        for module in method.modules():
            for name in region.replaced(module):
                changed.append((module, name))
        yield
    finally:
        for module, name in changed:
            del vars(module)[name]


class _Region:
    """Knows whether this rank is processing its share, which a module inside a module must not divide again."""

    def __init__(self) -> None:
        self.inside = False

    def replaced(self, module: nn.Module) -> Iterator[str]:
        """Replaces functions of a module by divided ones, and yields their names."""
        for kind, names in SHARED.items():
            if not isinstance(module, kind):
                continue
            if any(map(_draws, module.modules())):
                raise ValueError(
                    f"{type(module).__name__} has dropout, which several processes cannot draw alike; train in one"
                )
            for name in names:
                if hasattr(module, name):
                    vars(module)[name] = self.shared(getattr(module, name))
                    yield name
        if isinstance(module, _BatchNorm):
            vars(module)["forward"] = self.normalising(module)
            yield "forward"

    def shared(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """(B, ...) -> tensors (B', ...), where B' is a multiple of B or B of B': computed in shares, and gathered."""

        def run(*inputs: Tensor) -> Any:
            if self.inside or len(inputs[0]) % world():
                return function(*inputs)
            shares, blocks = _shares(inputs)
            self.inside = True
            try:
                outputs = function(*shares)
            finally:
                self.inside = False
            if isinstance(outputs, dict):
                return {name: _gathered(output, blocks) for name, output in outputs.items()}
            return _gathered(outputs, blocks)

        return run

    def normalising(self, module: _BatchNorm) -> Callable[[Tensor], Tensor]:
        """Batch normalisation: within a share by the statistics of all ranks' shares, otherwise unchanged."""
        ordinary = module.forward

        def run(inputs: Tensor) -> Tensor:
            if not self.inside or not (module.training or module.running_mean is None):
                return ordinary(inputs)
            mean, variance = _moments(inputs)
            _track(module, mean, variance, world() * inputs.numel() // inputs.shape[1])
            weight = torch.ones_like(mean) if module.weight is None else module.weight
            bias = torch.zeros_like(mean) if module.bias is None else module.bias
            output: Tensor = _Normalise.apply(inputs, weight, bias, mean, variance, module.eps)  # type: ignore[no-untyped-call]
            return output

        return run


def _draws(part: nn.Module) -> bool:
    """Whether a part is dropout, or drops whole paths: torchvision's StochasticDepth, timm's DropPath."""
    path = type(part).__name__ in ("StochasticDepth", "DropPath")
    share = getattr(part, "p", 0) or getattr(part, "drop_prob", 0)
    return (path or isinstance(part, _DropoutNd)) and share > 0


def _shares(inputs: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """This rank's rows of each, and the blocks in which they lie (see `Method.layout`): those it has, if it has all."""
    divided = [part for part in inputs if isinstance(part, Divided)]
    if len(divided) == len(inputs) and len({part.blocks for part in divided}) == 1:
        return [part.local for part in divided], divided[0].blocks
    ordinary = [part.whole() if isinstance(part, Divided) else part for part in inputs]
    return [_Share.apply(part) for part in ordinary], 1  # type: ignore[no-untyped-call]


def _gathered(output: Tensor, blocks: int) -> Tensor:
    return in_order(_Gather.apply(output), blocks, world())  # type: ignore[no-untyped-call]


class _Share(Function):
    """This rank's rows. Backward: the gradients of all ranks, concatenated, without the factor of `_Gather`."""

    @staticmethod
    def forward(ctx: Any, whole: Tensor) -> Tensor:  # noqa: ARG004
        return own_rows(whole).clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return all_rows(gradient) / world()


class _Gather(Function):
    """The rows of all ranks. Backward: this rank's part times the number of ranks, see the module's docstring."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:  # noqa: ARG004
        return all_rows(local)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return own_rows(gradient) * world()


def _exact(inputs: Tensor) -> torch.dtype:
    return torch.promote_types(inputs.dtype, torch.float32)


@torch.no_grad()
def _moments(inputs: Tensor) -> tuple[Tensor, Tensor]:
    """(n, C, ...) -> mean and biased variance (C,) over all ranks' equal shares, in float32 at least.

    The variance is the mean of the shares' variances plus the variance of their means, which avoids cancellation.
    """
    dims = [dim for dim in range(inputs.ndim) if dim != 1]
    variance, mean = torch.var_mean(inputs.to(_exact(inputs)), dims, correction=0)
    means, variances = all_rows(torch.stack([mean, variance])[None]).unbind(1)  # (ranks, C) each
    return means.mean(0), variances.mean(0) + means.var(0, correction=0)


def _track(module: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    """Updates the running statistics as torch's batch normalisation of `count` values does.

    It writes to `data`, unseen by autograd, as torch does: another forward pass may have saved them for its backward,
    which does not need their values.
    """
    if module.running_mean is None or module.running_var is None or module.num_batches_tracked is None:
        return
    module.num_batches_tracked += 1
    share = 1 / float(module.num_batches_tracked) if module.momentum is None else module.momentum
    module.running_mean.data.lerp_(mean, share)
    module.running_var.data.lerp_(variance * count / (count - 1), share)


class _Normalise(Function):
    """(n, C, ...) normalised by the statistics of all ranks' shares, which depend on the inputs too: see `backward`.

    Both passes use torch's kernels for given statistics.
    """

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, eps: float
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight, mean, variance)
        ctx.eps = eps
        return functional.batch_norm(inputs, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """dx = w s (dy - mean(dy) - x' mean(dy x')), x' = s (x - m): the kernel gives w s dy and both sums."""
        inputs, weight, mean, variance = ctx.saved_tensors
        if gradient.stride() != inputs.stride():  # the kernels need the same memory order
            gradient = torch.empty_like(inputs).copy_(gradient)
        none = mean.new_empty(0)  # of what a forward in training mode saves
        given, to_weight, to_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, inputs, weight, mean, variance, none, none, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack([to_weight, to_bias]).to(_exact(inputs))
        dist.all_reduce(sums)
        along, level = sums / (world() * inputs.numel() // inputs.shape[1])  # mean(dy x') and mean(dy), (C,) each
        scale = (variance + ctx.eps).rsqrt()
        slope = weight * scale.square() * along
        shape = (-1, *(1,) * (inputs.ndim - 2))
        taken = inputs * slope.view(shape) + (weight * scale * level - slope * mean).view(shape)
        return (given - taken).to(inputs.dtype), to_weight, to_bias, None, None, None
