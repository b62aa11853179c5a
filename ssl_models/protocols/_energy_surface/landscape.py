"""An energy of two real numbers on a grid: its density, its slope, and where steepest descent leads.

Letters: G cells of the grid each way, M points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ssl_models.encoders.energy import EnergyEncoder
from ssl_models.partition import Extent, device_of, grid, log_partition
from ssl_models.protocols._density.model import energies
from ssl_models.samplers.langevin import score

RADIUS = 0.3
"""Deviations of the data within which of a training sample a point counts as on the data."""
MARGIN = 0.5
"""Deviations around the box of the data in which points off the data are looked at."""
FLAT = 1.0
"""Nats a deviation: a slope below this counts as flat."""
FINE = 256
"""Points each way by which log Z is computed."""
STEP, STEPS, SOFT = 0.05, 240, 0.05
"""Of steepest descent: its length in deviations, how many there are, and the slope at which a step is half as long."""


@dataclass(frozen=True)
class Landscape:
    """points: (G * G, 2), as `partition.grid` orders them. log_density, slope: (G * G,), nats and nats a deviation.

    cell: the area of one. off: (G * G,) bool, which points lie off the data.
    """

    points: Tensor
    log_density: ndarray
    slope: ndarray
    cell: float
    off: ndarray

    @property
    def side(self) -> int:
        """G."""
        return round(len(self.points) ** 0.5)


def landscape(encoder: EnergyEncoder, extent: Extent, side: int, samples: Tensor) -> Landscape:
    """Of an energy, on a grid over the extent. samples: (N, 2), by which points are on the data."""
    points, log_cell = grid(extent, side)
    with torch.no_grad():
        log_z = float(log_partition(encoder, extent, FINE))
    slope = score(encoder.energy, points.to(device_of(encoder))).norm(dim=1).double().cpu().numpy()
    off = off_data(points, samples)
    return Landscape(points, -energies(encoder, points) - log_z, slope, float(np.exp(log_cell)), off)


def off_data(points: Tensor, samples: Tensor) -> ndarray:
    """(M, 2) -> (M,) bool: farther than RADIUS from every sample, and within MARGIN of the box of all."""
    low, high = samples.amin(0) - MARGIN, samples.amax(0) + MARGIN
    inside = ((points >= low) & (points <= high)).all(1)
    found: ndarray = (inside & ~near(points, samples)).numpy()
    return found


def near(points: Tensor, samples: Tensor) -> Tensor:
    """(M, 2) -> (M,) bool: at most RADIUS from a sample."""
    return torch.cat([torch.cdist(part, samples).amin(1) <= RADIUS for part in torch.split(points, 1024)])


def descent(encoder: EnergyEncoder, points: Tensor, kept: int = 0) -> tuple[Tensor, ndarray]:
    """(M, 2) -> where steepest descent on the energy ends (M, 2), and the paths of the first `kept`, (S, kept, 2).

    A step goes STEP downhill, and less where the energy is nearly flat: by the slope over the slope plus SOFT.
    """
    x, paths = points.to(device_of(encoder)), [points[:kept].numpy()]
    for _ in range(STEPS):
        downhill = score(encoder.energy, x)
        x = x + STEP * downhill / (downhill.norm(dim=1, keepdim=True) + SOFT)
        paths.append(x[:kept].cpu().numpy())
    return x.cpu(), np.stack(paths)


def overlap(log_density: ndarray, true: ndarray, cell: float) -> float:
    """The sum over cells of the smaller of two densities: 1 less their total variation distance."""
    return float(np.minimum(np.exp(log_density), np.exp(true)).sum() * cell)
