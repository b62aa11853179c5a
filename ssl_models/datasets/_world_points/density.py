"""A density of two numbers that is known in closed form, and its scaling to deviation 1 of each number.

Legend: N points. All numbers are float64.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from numpy.random import Generator


@dataclass(frozen=True)
class Drawn:
    """Independent draws. points: (N, 2). labels: (N,) int64. along: (N,) in [0, 1], where on its arm each was drawn."""

    points: ndarray
    labels: ndarray
    along: ndarray | None = None


class Density(ABC):
    """About mean 0. classes: what a draw can be labelled as. variance: (2,) of each number, in closed form."""

    classes: tuple[str, ...]
    variance: ndarray

    @abstractmethod
    def log_density(self, x: ndarray) -> ndarray:
        """(N, 2) -> (N,): log p in nats."""

    @abstractmethod
    def draw(self, count: int, random: Generator) -> Drawn:
        """`count` points of it."""


class Scaled(Density):
    """Another density, each number of it divided by its deviation: p(x) = q(x * deviation) * product of deviations."""

    def __init__(self, inner: Density) -> None:
        self.inner, self.deviation = inner, np.sqrt(inner.variance)
        self.classes, self.variance = inner.classes, np.ones(2)

    def log_density(self, x: ndarray) -> ndarray:
        """(N, 2) -> (N,): log p of the scaled numbers, in nats."""
        return self.inner.log_density(x * self.deviation) + np.log(self.deviation).sum()

    def draw(self, count: int, random: Generator) -> Drawn:
        """`count` points, scaled."""
        drawn = self.inner.draw(count, random)
        return Drawn(drawn.points / self.deviation, drawn.labels, drawn.along)
