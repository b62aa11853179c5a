"""An energy as the protocols that measure it ask for it: on its device, without gradients, on vectors as stored.

Letters: N samples, D numbers of a vector.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.encoders.energy import EnergyEncoder, with_energy
from ssl_models.errors import NeedsParts
from ssl_models.hardware import pick_device
from ssl_models.modalities.inputs import inputs
from ssl_models.protocols._common.score import Representation

PART = "vectors"
AT_ONCE = 8192
"""Vectors whose energies are computed at once."""


def energy_encoder(representation: Representation, protocol: str) -> EnergyEncoder:
    """The encoder, in evaluation mode. Raises DoesNotApply for one without an energy."""
    encoder = with_energy(representation.encoder(), f"the protocol '{protocol}'")
    return encoder.eval().to(pick_device())


def vectors(representation: Representation, split: str, protocol: str, most: int | None = None) -> Tensor:
    """(N, D) float32: the samples of a split, or as many as `most`, evenly spread. Raises NeedsParts without any."""
    samples = representation.samples(split)
    if PART not in samples:
        raise NeedsParts((PART,), samples, f"the protocol '{protocol}'")
    stored = samples[PART]
    rows = np.arange(len(stored))
    if most is not None and len(rows) > most:
        rows = np.linspace(0, len(stored) - 1, most).round().astype(np.int64)
    return inputs(torch.from_numpy(np.array(stored[rows])))


@torch.no_grad()
def energies(encoder: EnergyEncoder, x: Tensor) -> ndarray:
    """(N, D) -> (N,) float64. Raises ValueError where one is not finite."""
    device = next(encoder.parameters()).device
    found = torch.cat([encoder.energy(part.to(device)).double().cpu() for part in torch.split(x, AT_ONCE)])
    require_finite(found)
    return np.asarray(found)


def require_finite(energies: Tensor) -> None:
    """Raises ValueError where one is not."""
    if not bool(energies.isfinite().all()):
        raise ValueError("the encoder gives energies that are not finite; train again")
