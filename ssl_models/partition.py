"""log Z of an energy, exactly: by going through all states, or by quadrature on a grid in one or two dimensions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.encoders.states import MOST, log_sum
from ssl_models.errors import DoesNotApply

Extent = tuple[tuple[float, float], ...]
"""Lowest and highest of each number: the box that real vectors are integrated over, `known["extent"]` of the data."""


def log_partition(
    encoder: EnergyEncoder, extent: Extent | None = None, points: int = 128, shift: Tensor | None = None
) -> Tensor:
    """log Z (), with gradients: the encoder's own way, else all states of 0 and 1, else quadrature.

    extent: of real vectors; the density outside of it must not matter. points, shift: see `grid`.
    Raises DoesNotApply where none of these can be done, see `require_computable`.
    """
    own = encoder.log_partition()
    if own is not None:
        return own
    require_computable(encoder, extent)
    if encoder.binary:
        return log_sum(encoder.visible, lambda x: -encoder.energy(x), device_of(encoder))
    x, log_cell = grid(extent or (), points, device_of(encoder), shift)
    return (-encoder.energy(x)).logsumexp(0) + log_cell


def require_computable(encoder: EnergyEncoder, extent: Extent | None = None) -> None:
    """Raises DoesNotApply where log Z cannot be computed exactly."""
    if computable(encoder, extent):
        return
    if encoder.binary:
        raise DoesNotApply(
            f"log Z of the encoder '{encoder.name}' is a sum over 2^{encoder.visible} states; at most 2^{MOST} are "
            "gone through"
        )
    raise DoesNotApply(
        f"log Z of {encoder.visible} real numbers: quadrature takes one or two, and the box that they lie in"
    )


def computable(encoder: EnergyEncoder, extent: Extent | None = None) -> str:
    """How `log_partition` is computed, in words; empty where it cannot be."""
    if encoder.summed:
        return encoder.summed
    if encoder.binary:
        return f"a sum over the states of {encoder.visible} units" if encoder.visible <= MOST else ""
    return "quadrature" if extent is not None and len(extent) == encoder.visible <= 2 else ""


def grid(
    extent: Extent, points: int, device: torch.device | str = "cpu", shift: Tensor | None = None
) -> tuple[Tensor, float]:
    """A point in each of points^D cells (points^D, D), the last number varying fastest; log of a cell's size.

    points: of cells each way. shift: (D,) in [0, 1), where in its cell a point lies; None for the middle.
    Raises ValueError for an interval that is empty or not finite, and for less than one point.
    """
    if points < 1:
        raise ValueError(f"points = {points} must be at least 1")
    axes, log_cell = [], 0.0
    for number, (low, high) in enumerate(extent):
        if not low < high or not math.isfinite(high - low):
            raise ValueError(f"the extent from {low} to {high} is no interval to integrate over")
        step = (high - low) / points
        within = 0.5 if shift is None else shift[number]
        axes.append(low + step * (torch.arange(points, device=device, dtype=torch.float32) + within))
        log_cell += math.log(step)
    return torch.cartesian_prod(*axes).view(-1, len(extent)), log_cell


def extent_of(known: Mapping[str, Any]) -> Extent | None:
    """`known["extent"]` as an Extent; None where it is not known."""
    given = known.get("extent")
    return None if given is None else tuple((float(low), float(high)) for low, high in given)


def device_of(encoder: EnergyEncoder) -> torch.device:
    """Where the weights of an encoder lie."""
    return next(encoder.parameters()).device
