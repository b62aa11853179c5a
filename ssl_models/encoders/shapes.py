"""The shapes of an encoder's layers, found without computing anything."""

from __future__ import annotations

from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn

from ssl_models.encoders.encoder import Encoder
from ssl_models.errors import first_line

Module = TypeVar("Module", bound=nn.Module)


def map_shapes(encoder: Encoder, shape: tuple[int, ...]) -> dict[str, tuple[int, int, int]]:
    """Layer -> (channels, h, w) of its map of a sample of `shape`, from first to last.

    It uses a copy on the meta device: nothing is computed, no memory is taken, and no statistic changes.
    """
    maps = hollow(encoder).eval().layers(torch.empty(1, *shape, device="meta"))
    return {layer: (found.shape[1], found.shape[2], found.shape[3]) for layer, found in maps.items()}


def require_input(encoder: Encoder, shape: tuple[int, ...], what: str) -> None:
    """Raises ValueError where the encoder cannot take `shape` (C, H, W); `what`: what errors call such pictures."""
    try:
        map_shapes(encoder, shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = first_line(error)
        model = advice = ""
        if "model" in encoder.settings:
            model = f", model '{encoder.settings['model']}',"
            advice = "; give larger ones, or set the encoder's `size`, to which they are scaled"
        raise ValueError(
            f"the encoder '{encoder.name}'{model} cannot take {what} of {shape[1]} x {shape[2]} px ({reason}){advice}"
        ) from None


def hollow(module: Module) -> Module:
    """A copy on the meta device; the weights are not copied on the way, as they may be large."""
    tensors = [*module.parameters(), *module.buffers()]
    return deepcopy(module, {id(tensor): _empty(tensor) for tensor in tensors})


def _empty(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta", requires_grad=False)
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
