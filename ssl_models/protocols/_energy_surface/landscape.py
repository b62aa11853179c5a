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

INSIDE, ONE_IN = 0.95, 400
"""The share of the test samples that count as on the data, by their distance from a near training sample: of 2,000 the
fifth nearest, so that single samples far out make no place count as on the data.
"""
MARGIN = 0.5
"""Deviations around the box of the data in which points off the data are looked at."""
FLAT = 1.0
"""Nats a deviation: a slope below this counts as flat."""
CUT = -60.0
"""Nats: true surfaces are told no lower than this (datasets/world_points.py); from there on all cells look alike."""
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


@dataclass(frozen=True)
class Data:
    """Where the data are: samples (N, 2), and the radius in which a place on them has one in ONE_IN, at least one."""

    samples: Tensor
    radius: float

    def off(self, points: Tensor) -> ndarray:
        """(M, 2) -> (M,) bool: not near the samples, and within MARGIN of the box of all."""
        low, high = self.box
        inside = ((points >= torch.tensor(low)) & (points <= torch.tensor(high))).all(1)
        found: ndarray = (inside & ~self.near(points)).numpy()
        return found

    def near(self, points: Tensor) -> Tensor:
        """(M, 2) -> (M,) bool: with enough samples within the radius."""
        return distances(points, self.samples) <= self.radius

    @property
    def box(self) -> tuple[list[float], list[float]]:
        """Lowest and highest of both numbers, with MARGIN."""
        return (self.samples.amin(0) - MARGIN).tolist(), (self.samples.amax(0) + MARGIN).tolist()


def data_of(train: Tensor, test: Tensor) -> Data:
    """(N, 2) and (M, 2): the radius is that within which INSIDE of the test samples have enough training samples."""
    return Data(train, float(distances(test, train).quantile(INSIDE)))


def distances(points: Tensor, samples: Tensor) -> Tensor:
    """(M, 2) -> (M,): to the k-th nearest of (N, 2), k being N / ONE_IN, at least 1."""
    nearest = max(1, len(samples) // ONE_IN)
    return torch.cat([torch.cdist(part, samples).kthvalue(nearest, 1).values for part in torch.split(points, 1024)])


def landscape(encoder: EnergyEncoder, extent: Extent, side: int, data: Data) -> Landscape:
    """Of an energy, on a grid over the extent."""
    points, log_cell = grid(extent, side)
    with torch.no_grad():
        log_z = float(log_partition(encoder, extent, FINE))
    slope = score(encoder.energy, points.to(device_of(encoder))).norm(dim=1).double().cpu().numpy()
    log_density = -energies(encoder, points) - log_z
    return Landscape(points, log_density, slope, float(np.exp(log_cell)), data.off(points))


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


def flat_in_truth(true: ndarray, extent: Extent, off: ndarray) -> float:
    """The share of the cells in `off` (G * G,) where the true log density (G, G) slopes less than FLAT.

    By differences of cells. Cells at CUT or below have lost their slope, and are not flat.
    """
    width = [(high - low) / len(true) for low, high in extent]
    slope = np.hypot(*np.gradient(true, *width))
    flat = (slope < FLAT) & (true > CUT)
    return float(flat.ravel()[off].mean())
