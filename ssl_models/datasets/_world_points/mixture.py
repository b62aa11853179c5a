"""Mixtures of round Gaussians of one deviation and equal shares: eight on a circle, and many along two spiral arms."""

from __future__ import annotations

import math

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from ssl_models.datasets._world_points.density import Density, Drawn

RADIUS, APART = 2.0, 0.2
"""Of the circle of eight, and the deviation of each: neighbours are 7.7 deviations apart."""
DIRECTIONS = ("east", "north-east", "north", "north-west", "west", "south-west", "south", "south-east")
ARMS = ("first", "second")
ALONG, TURNS, WIDTH = 256, 1.5, 0.15
"""Gaussians of an arm, its turns about the middle, and their deviation: arms are 7 of them apart."""
BLOCK = 2**22
"""Pairs of a point and a Gaussian that are looked at together."""


class Mixture(Density):
    """p(x) = 1/M sum_m N(x; centre m, deviation^2), M Gaussians in equally large groups, one for each class.

    centres: (M, 2), of the first class first; their mean is taken from them. arms: whether a class is an arm, along
    which its Gaussians lie.
    """

    def __init__(self, centres: ndarray, deviation: float, classes: tuple[str, ...], *, arms: bool = False) -> None:
        self.classes, self.deviation, self.arms = classes, deviation, arms
        self.centres = centres - centres.mean(0)
        self.variance = np.square(self.centres).mean(0) + deviation**2

    def log_density(self, x: ndarray) -> ndarray:
        """(N, 2) -> (N,): log p in nats."""
        step = max(1, BLOCK // len(self.centres))
        parts = [self._log_density(x[start : start + step]) for start in range(0, len(x), step)]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _log_density(self, x: ndarray) -> ndarray:
        # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, as a product of matrices
        apart = x @ self.centres.T
        apart *= -2
        apart += np.square(x).sum(1)[:, None] + np.square(self.centres).sum(1)
        nearest = apart.min(1)
        apart -= nearest[:, None]
        apart *= -0.5 / self.deviation**2
        shares = np.exp(apart, out=apart).sum(1) / len(self.centres)
        return np.log(shares) - nearest / (2 * self.deviation**2) - math.log(2 * math.pi * self.deviation**2)

    def draw(self, count: int, random: Generator) -> Drawn:
        """`count` points; along: the Gaussian that each is of, counted from the middle, from 0 to 1."""
        chosen = random.integers(len(self.centres), size=count)
        points = self.centres[chosen] + self.deviation * random.standard_normal((count, 2))
        group = len(self.centres) // len(self.classes)
        along = (chosen % group) / (group - 1) if self.arms else None
        return Drawn(points, chosen // group, along)


def circle() -> Mixture:
    """Eight Gaussians on a circle; each is a class."""
    angles = 2 * math.pi * np.arange(len(DIRECTIONS)) / len(DIRECTIONS)
    return Mixture(RADIUS * _directions(angles), APART, DIRECTIONS)


def spiral() -> Mixture:
    """Two arms, each of them the other turned by half a turn: radius = angle / 3.

    The angle is in proportion to the root of the share of the arm, so that an arm is about equally dense throughout.
    The form is that of FFJORD's two spirals (Grathwohl et al. 2019, arXiv:1810.01367), with a wider arm.
    """
    angles = 2 * math.pi * TURNS * np.sqrt((np.arange(ALONG) + 0.5) / ALONG)
    arm = angles[:, None] / 3 * _directions(angles)
    return Mixture(np.concatenate([arm, -arm]), WIDTH, ARMS, arms=True)


def _directions(angles: ndarray) -> ndarray:
    """(M,) -> (M, 2) of length 1."""
    return np.stack([np.cos(angles), np.sin(angles)], 1)
