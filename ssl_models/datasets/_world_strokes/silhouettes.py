"""Filled shapes of eight classes at any place and in a few sizes, with independent noise in each pixel.

A mixture of finitely many templates: p(x) = sum_t w_t prod_i noise^[x_i != t_i] (1 - noise)^[x_i = t_i]. Legend: T
templates, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray
from numpy.random import Generator

from ssl_models.datasets._world_strokes.pattern import MOST_UNITS, every_state

NUMBERS = 2**22
"""Of samples x templates at a time."""


def shapes(size: int) -> dict[str, ndarray]:
    """Class -> (size, size) bool. Lines are size / 4 thick, about. From size 4 on no two are the same."""
    thick = (size + 2) // 4
    row, column = np.mgrid[:size, :size]
    down, across = 2 * row - size + 1, 2 * column - size + 1  # twice the way from the middle

    def disc(width: int) -> ndarray:
        return np.asarray(across**2 + down**2 <= width**2)

    return {
        "square": np.ones((size, size), bool),
        "disc": disc(size),
        "triangle": abs(across) <= 2 * (row // 2) + (size + 1) % 2,
        "cross": (abs(row - column) < thick) | (abs(row + column - size + 1) < thick),
        "ring": disc(size) & ~disc(size - 2 * thick),
        "bar": 2 * abs(down) < size,
        "L": (column < thick) | (row >= size - thick),
        "T": (row < thick) | (abs(across) <= thick),
    }


@dataclass(frozen=True)
class Silhouettes:
    """Classes are equally likely, and within a class all its templates: each place of each size.

    Sizes go from a half to three quarters of `side`, and are at least 4: 4, 5 and 6 of 8, which make 50 templates a
    class. noise: the probability of each pixel to be flipped. At side 8, templates of two classes differ in at least 4
    pixels (a square and its disc), and the true posterior tells 99.8 % of classes at noise 0.02, 99.0 % at 0.05.
    """

    side: int
    noise: float = 0.02
    sides: ClassVar[tuple[int, int, int]] = (4, 16, 8)
    classes: ClassVar[tuple[str, ...]] = tuple(shapes(4))

    @cached_property
    def templates(self) -> ndarray:
        """(K, T / K, D) of 0 and 1: sizes in turn, and of each all places row by row."""
        found: list[list[ndarray]] = [[] for _ in self.classes]
        for size in range(max(4, self.side // 2), max(4, 3 * self.side // 4) + 1):
            for own, shape in zip(found, shapes(size).values(), strict=True):
                for row in range(self.side - size + 1):
                    for column in range(self.side - size + 1):
                        picture = np.zeros((self.side, self.side), np.int8)
                        picture[row : row + size, column : column + size] = shape
                        own.append(picture.ravel())
        return np.array(found)

    def draw(self, count: int, generator: Generator) -> tuple[ndarray, ndarray]:
        """As Pattern.draw."""
        classes, places, pixels = self.templates.shape
        labels, numbers = generator.integers(classes, size=count), generator.integers(places, size=count)
        flipped = generator.random((count, pixels)) < self.noise
        return self.templates[labels, numbers] ^ flipped, labels

    def class_log_densities(self, x: ndarray) -> ndarray:
        """(N, D) -> (N, K) float64: log p(x, class); less their logsumexp, the log of the posterior."""
        classes, places, pixels = self.templates.shape
        templates = self.templates.reshape(-1, pixels).astype(np.float64)
        wrong, right = math.log(self.noise), math.log1p(-self.noise)
        found = np.empty((len(x), classes))
        step = max(1, NUMBERS // len(templates))
        for begin in range(0, len(x), step):
            own = x[begin : begin + step].astype(np.float64)
            differing = own.sum(1)[:, None] + templates.sum(1) - 2 * own @ templates.T
            of_templates = pixels * right + (wrong - right) * differing
            found[begin : begin + step] = np.logaddexp.reduce(of_templates.reshape(-1, classes, places), axis=2)
        return found - math.log(classes * places)

    def log_density(self, x: ndarray) -> ndarray:
        """As Pattern.log_density."""
        return np.asarray(np.logaddexp.reduce(self.class_log_densities(x), axis=1))

    def mean(self) -> ndarray:
        """As Pattern.mean."""
        return np.asarray(self.noise + (1 - 2 * self.noise) * self.templates.mean((0, 1)))

    def facts(self) -> dict[str, Any]:
        """entropy, where all states can be gone through: at side 4. That of a mixture has no closed form."""
        if self.side**2 > MOST_UNITS:
            return {}
        log_shares = self.log_density(every_state(self.side**2))
        return {"entropy": float(-np.exp(log_shares) @ log_shares)}
