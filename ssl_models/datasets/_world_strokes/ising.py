"""The Ising model on a small lattice: neighbours have couplings of both signs, and pixels have small fields.

p(x) = exp(sum_{i<j} J_ij s_i s_j + sum_i h_i s_i) / Z, with s = 2 x - 1, as of encoders/boltzmann.py. All states are
gone through, so draws, density and log Z are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from ssl_models.datasets._world_strokes.pattern import every_state

RIGHT = ((1.0, -0.8, 0.9), (0.9, 1.5, 1.1), (1.2, 0.8, -1.2), (-0.6, -0.6, -1.4))
"""Of each pixel and the one right of it, as multiples of `coupling`."""
DOWN = ((-1.3, 0.9, -1.1, -0.6), (-0.7, -1.0, 1.3, 1.0), (-0.6, -1.4, 0.6, 0.9))
"""Of each pixel and the one below it."""
FIELDS = ((0.19, -0.09, 0.16, -0.06), (-0.08, 0.15, -0.17, 0.15), (0.13, 0.16, -0.18, -0.1), (0.11, -0.03, -0.2, 0.08))
"""In nats. Drawn once, as the two above: multiples in 0.5 ... 1.5 with a random sign, fields in -0.2 ... 0.2.
Around four of the nine squares of neighbours the product of couplings is negative: no state suits all of them."""


@dataclass(frozen=True)
class Ising:
    """side x side pixels without wrap-around; a smaller lattice is the upper left part of the largest one.

    coupling: the size of couplings between neighbours, in nats, about; at 0 pixels are independent.
    """

    side: int
    coupling: float = 0.4
    sides: ClassVar[tuple[int, int, int]] = (2, 4, 4)
    classes: ClassVar[tuple[str, ...]] = ()

    @cached_property
    def couplings(self) -> ndarray:
        """J (D, D): symmetric, with zeros on its diagonal."""
        found = np.zeros((self.side,) * 4)
        for row in range(self.side):
            for column in range(self.side):
                if column + 1 < self.side:
                    found[row, column, row, column + 1] = self.coupling * RIGHT[row][column]
                if row + 1 < self.side:
                    found[row, column, row + 1, column] = self.coupling * DOWN[row][column]
        half = found.reshape(self.side**2, self.side**2)
        return np.asarray(half + half.T)

    @cached_property
    def fields(self) -> ndarray:
        """h (D,)."""
        return np.array(FIELDS)[: self.side, : self.side].ravel()

    @cached_property
    def states(self) -> ndarray:
        """(2^D, D) of 0 and 1."""
        return every_state(self.side**2)

    @cached_property
    def log_partition(self) -> float:
        """log Z in nats."""
        return float(np.logaddexp.reduce(self._exponents(self.states)))

    @cached_property
    def shares(self) -> ndarray:
        """(2^D,): the probability of each state."""
        return np.exp(self.log_density(self.states))

    def draw(self, count: int, generator: Generator) -> tuple[ndarray, None]:
        """As Pattern.draw: each state by its probability, independently."""
        sums = np.cumsum(self.shares)
        numbers = np.searchsorted(sums, generator.random(count) * sums[-1], side="right")
        return self.states[numbers], None

    def log_density(self, x: ndarray) -> ndarray:
        """As Pattern.log_density."""
        return self._exponents(x) - self.log_partition

    def mean(self) -> ndarray:
        """As Pattern.mean."""
        return np.asarray(self.shares @ self.states)

    def facts(self) -> dict[str, Any]:
        """couplings, fields, log_partition and entropy."""
        return {
            "couplings": self.couplings.tolist(),
            "fields": self.fields.tolist(),
            "log_partition": self.log_partition,
            "entropy": float(-self.shares @ self.log_density(self.states)),
        }

    def _exponents(self, x: ndarray) -> ndarray:
        """(N, D) -> (N,): -E."""
        spins = 2.0 * x - 1
        return np.asarray((spins @ self.couplings * spins).sum(1) / 2 + spins @ self.fields)
