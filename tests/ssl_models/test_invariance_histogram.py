"""The histogram of distances under transforms, on distances that are known."""

from __future__ import annotations

import numpy as np
from numpy import ndarray

from ssl_models.figures import PALETTE
from ssl_models.protocols._invariance.histogram import LONGEST, draw

BLUE = np.array([int(PALETTE[0][place : place + 2], 16) for place in (1, 3, 5)])
DARK = np.array([0x22] * 3)


def columns(picture: ndarray, colour: ndarray, near: int = 30) -> ndarray:
    """Where along a single panel a colour stands, as distances."""
    found = np.flatnonzero((np.abs(picture.astype(int) - colour).sum(2) < near).sum(0) > 12)
    left, right = 0.01 * picture.shape[1], 0.985 * picture.shape[1]
    return (found - left) / (right - left) * LONGEST


def test_bars_stand_at_the_distances_and_the_line_at_that_of_unrelated_pictures() -> None:
    """Squared distances 0.25 and 1.0 to own copies, and 2.25 to others': 0.5, 1 and 1.5."""
    own = np.repeat([0.25, 1.0], 50)
    picture = draw({"rotation": np.stack([own, np.full(100, 2.25)])})
    bars = columns(picture, BLUE)
    assert np.abs(bars[bars < 0.75] - 0.5).max() < 0.06
    assert np.abs(bars[bars > 0.75] - 1.0).max() < 0.06
    line = columns(picture, DARK, near=200)
    assert np.abs(line[line > 1.2] - 1.5).max() < 0.05


def test_each_transform_has_a_panel_and_distances_of_zero_are_drawn() -> None:
    change = np.zeros((2, 8))
    one, four = draw({"a": change}), draw(dict.fromkeys("abcd", change))
    assert four.shape[1] == 4 * one.shape[1]
    assert four.dtype == np.uint8
