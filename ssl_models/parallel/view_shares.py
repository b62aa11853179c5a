"""Divides the making of views among several processes (ranks): each reads, moves and augments its own rows of a batch.

Of a method that is `by_rows`, a rank makes the views of its own part of the samples, with the random numbers that they
have in the whole batch (views/drawing.py). Other methods' views mix samples, and every rank makes all of them.

The loss is of the whole batch. A view of whole numbers, such as labels, is gathered at once. One of floats becomes
Divided: it has the shape of the whole, and encoder_shards.py gives an encoder the rank's own rows of it. So pictures
that only an encoder sees are never sent, unless it takes its batch in chunks, which are of the whole (chunks.py).
Whatever else a loss does with such a view gathers it first, and keeps the whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.utils._pytree import tree_map_only

from ssl_models.method import Method, place_of, views_by
from ssl_models.parallel.processes import all_rows, own_rows, rank, world
from ssl_models.views.drawing import Share

TOLD = {
    *(getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "ndim", "is_cuda", "requires_grad")),
    *(Tensor.__len__, Tensor.size, Tensor.dim, Tensor.is_floating_point, torch.is_floating_point),
}
"""What a Divided tells of the whole without gathering it."""


def rows_read(method: Method, index: Tensor) -> Tensor:
    """Of the samples `index` (B,) of a batch, those that this rank reads and makes views of."""
    return own_rows(index) if method.by_rows else index


def make_views(method: Method, parts: Sequence[Tensor], *, seed: int, device: torch.device | str) -> tuple[Tensor, ...]:
    """The views of a whole batch, of which `parts` has the rows of `rows_read`; the same in any number of ranks.

    Raises ValueError where the views are not as the method's `layout` says.
    """
    if world() == 1 or not method.by_rows:
        return views_by(method, parts, Generator(device).manual_seed(seed))
    views = views_by(method, parts, Share(device, rank(), world()).manual_seed(seed))
    layout = method.layout(views)
    if len(layout) != len(views) or any(len(v) % (n * len(parts[0])) for v, n in zip(views, layout, strict=True) if n):
        raise ValueError(
            f"{place_of(method)}.layout gives {layout} for views of {', '.join(str(len(view)) for view in views)} rows "
            f"from {len(parts[0])} samples; it must name for each view the number of blocks in which its rows lie"
        )
    return tuple(_joined(view, blocks) if blocks else view for view, blocks in zip(views, layout, strict=True))


def _joined(view: Tensor, blocks: int) -> Tensor:
    return Divided.of(view, blocks) if view.is_floating_point() else in_order(all_rows(view), blocks, world())


def in_order(rows: Tensor, blocks: int, shares: int) -> Tensor:
    """(B, ...) of one share after another, each in `blocks` blocks -> the whole batch in so many blocks."""
    if blocks == 1:
        return rows
    return rows.reshape(shares, blocks, -1, *rows.shape[1:]).transpose(0, 1).flatten(0, 2)


class Divided(Tensor):
    """A view of the whole batch, float, of which this rank holds its own rows, `local`; gathered when it is used.

    blocks: in which the rows lie, see `Method.layout`. The tensor itself holds only NaN: a function that torch does not
    hand over to `__torch_function__` would be found out.
    """

    local: Tensor
    blocks: int
    _whole: Tensor | None

    @classmethod
    def of(cls, local: Tensor, blocks: int) -> Divided:
        nothing = local.new_full((1,) * local.ndim, torch.nan)
        divided = nothing.expand(world() * len(local), *local.shape[1:]).as_subclass(cls)
        divided.local, divided.blocks, divided._whole = local, blocks, None
        return divided

    def whole(self) -> Tensor:
        """The rows of all ranks, an ordinary tensor."""
        if self._whole is None:
            self._whole = in_order(all_rows(self.local), self.blocks, world())
        return self._whole

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in TOLD:
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **(kwargs or {}))
        if func is torch.cat and len(args) == 1 and not kwargs and (joined := _below_one_another(args[0])) is not None:
            return joined
        given, named = tree_map_only(Divided, Divided.whole, (args, kwargs or {}))
        return func(*given, **named)


def _below_one_another(views: Sequence[Tensor]) -> Divided | None:
    """The rows of several views after one another, still divided; None where they cannot be."""
    found = [view for view in views if isinstance(view, Divided)]
    rows = {len(view) // view.blocks for view in found}
    if len(found) < len(views) or len(rows) > 1:
        return None
    return Divided.of(torch.cat([view.local for view in found]), sum(view.blocks for view in found))
