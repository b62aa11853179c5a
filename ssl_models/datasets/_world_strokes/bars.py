"""Bars and stripes (Hinton & Sejnowski 1986; MacKay 2003, "Information Theory, Inference, and Learning Algorithms")."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray
from numpy.random import Generator


@dataclass(frozen=True)
class Bars:
    """An orientation with probability 1/2, then each of its `side` lines is on with probability 1/2.

    The two plain pictures, all on and all off, come of both orientations and are twice as likely as any other.
    """

    side: int
    sides: ClassVar[tuple[int, int, int]] = (2, 8, 4)
    classes: ClassVar[tuple[str, ...]] = ("horizontal", "vertical", "plain")

    def draw(self, count: int, generator: Generator) -> tuple[ndarray, ndarray]:
        """As Pattern.draw. A plain picture has no orientation, and is a class by itself."""
        upright = generator.integers(2, size=count)
        lines = generator.integers(2, size=(count, self.side))
        pictures = np.where(upright[:, None, None] == 1, lines[:, None, :], lines[:, :, None])
        labels = np.where((lines == lines[:, :1]).all(1), self.classes.index("plain"), upright)
        return np.broadcast_to(pictures, (count, self.side, self.side)).reshape(count, -1), labels

    def log_density(self, x: ndarray) -> ndarray:
        """As Pattern.log_density: 2^-(side + 1) for each orientation that a picture may come of."""
        pictures = x.reshape(-1, self.side, self.side)
        across = (pictures == pictures[:, :, :1]).all((1, 2))
        upright = (pictures == pictures[:, :1, :]).all((1, 2))
        ways = across.astype(np.float64) + upright
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(ways) - (self.side + 1) * math.log(2))

    def mean(self) -> ndarray:
        """As Pattern.mean."""
        return np.full(self.side**2, 0.5)

    def facts(self) -> dict[str, Any]:
        """entropy: (side + 1) log 2, less log 2 for the share of plain pictures, 2^(1 - side)."""
        return {"entropy": (self.side + 1 - 2.0 ** (1 - self.side)) * math.log(2)}
