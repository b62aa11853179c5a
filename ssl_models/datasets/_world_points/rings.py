r"""Two concentric rings of equal shares, whose density falls as a Gaussian with the distance from a circle.

A ring of radius R: p(x) = exp(-(r - R)^2 / 2 s^2) / (2 pi I_1), r = |x|, with

    I_n = int_0^inf r^n exp(-(r - R)^2 / 2 s^2) dr
    I_0 = s sqrt(pi / 2) (1 + erf(R / (s sqrt 2)))
    I_1 = R I_0 + s^2 exp(-R^2 / 2 s^2)
    I_n = R I_(n-1) + (n - 1) s^2 I_(n-2)

by parts. The radius of a point has the density r exp(-(r - R)^2 / 2 s^2) / I_1, and E[r^2] = I_3 / I_1.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray
from numpy.random import Generator
from scipy.special import erf

from ssl_models.datasets._world_points.density import Density, Drawn

RADII, WIDTH = (1.0, 2.0), 0.15
CLASSES = ("inner", "outer")
HALVINGS = 60
"""Steps of the search for a radius: more than a float64 can tell."""


class Rings(Density):
    """Rings of these radii, in equal shares. width: s, of each."""

    def __init__(self, radii: tuple[float, ...] = RADII, width: float = WIDTH) -> None:
        self.classes, self.radii, self.width = CLASSES, np.array(radii), width
        edge = width**2 * np.exp(-np.square(self.radii) / (2 * width**2))
        zeroth = width * math.sqrt(math.pi / 2) * (1 + erf(self.radii / (width * math.sqrt(2))))
        self.first = self.radii * zeroth + edge
        second = self.radii * self.first + width**2 * zeroth
        third = self.radii * second + 2 * width**2 * self.first
        self.variance = np.full(2, (third / self.first).mean() / 2)

    def log_density(self, x: ndarray) -> ndarray:
        """(N, 2) -> (N,): log p in nats."""
        apart = np.square(np.hypot(x[:, 0], x[:, 1])[:, None] - self.radii) / (2 * self.width**2)
        parts = -apart - np.log(2 * math.pi * self.first * len(self.radii))
        return np.logaddexp.reduce(parts, 1)

    def below(self, radius: ndarray, ring: ndarray) -> ndarray:
        """(N,), (N,) -> (N,): the share of a ring that lies within a radius."""
        centre, root = self.radii[ring], self.width * math.sqrt(2)
        bell = np.exp(-np.square(centre / root)) - np.exp(-np.square((radius - centre) / root))
        line = erf((radius - centre) / root) + erf(centre / root)
        return (self.width**2 * bell + centre * self.width * math.sqrt(math.pi / 2) * line) / self.first[ring]

    def draw(self, count: int, random: Generator) -> Drawn:
        """`count` points: the radius by inverting `below`, the angle evenly."""
        ring = random.integers(len(self.radii), size=count)
        share, turn = random.random((2, count))
        low, high = np.zeros(count), np.full(count, self.radii.max() + 40 * self.width)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            short = self.below(middle, ring) < share
            low, high = np.where(short, middle, low), np.where(short, high, middle)
        radius, angle = (low + high) / 2, 2 * math.pi * turn
        return Drawn(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), ring)
