"""What each pattern of world_strokes.py is: a distribution of pictures of 0 and 1 whose density is known.

Legend: D = side * side pixels, row by row.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import numpy as np
from numpy import ndarray
from numpy.random import Generator

MOST_UNITS = 16
"""Pixels of which all states are gone through: 65,536."""


class Pattern(Protocol):
    """sides: the least and the most, and the one that is taken where nobody says. classes: names; none: no labels."""

    sides: ClassVar[tuple[int, int, int]]
    classes: ClassVar[tuple[str, ...]]

    def draw(self, count: int, generator: Generator) -> tuple[ndarray, ndarray | None]:
        """(count, D) of 0 and 1, and labels (count,) where there are classes."""

    def log_density(self, x: ndarray) -> ndarray:
        """(N, D) of 0 and 1 -> (N,) float64 in nats, exact; -inf for what is never drawn."""

    def mean(self) -> ndarray:
        """(D,): the probability of a 1, exact."""

    def facts(self) -> dict[str, Any]:
        """What else is known, for `Dataset.known`: `entropy` in nats where it is exact, true parameters."""


def every_state(units: int) -> ndarray:
    """(2^units, units) of 0 and 1; pixel 0 is the lowest bit of a state's number."""
    return (np.arange(2**units)[:, None] >> np.arange(units) & 1).astype(np.int8)
