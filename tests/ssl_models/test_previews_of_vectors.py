"""Previews of vectors: pictures of 0 and 1, points in their extent, and bars."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ssl_models.previews import DOT, FRAME, INK, PALE, SIDE, columns, drawn_part, preview

EXTENT = [[-4.0, 4.0], [-2.0, 2.0]]


def shown(vector: Any, **known: Any) -> np.ndarray:
    """Without the frame, which there is."""
    picture = preview({"vectors": np.asarray([vector], np.float32)}, 0, known)
    assert all((line == FRAME).all() for line in (picture[0], picture[-1], picture[:, 0], picture[:, -1]))
    return picture[1:-1, 1:-1]


def inked(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool."""
    return (picture == INK).all(2)


def test_a_grid_is_black_and_white_and_enlarged() -> None:
    picture = shown([1, 0, 0, 0, 1, 0], binary=True, grid=[2, 3])
    assert picture.shape == (42, 63, 3)
    assert picture.dtype == np.uint8
    for row, line in enumerate([[255, 0, 0], [0, 255, 0]]):
        for column, value in enumerate(line):
            assert (picture[21 * row : 21 * row + 21, 21 * column : 21 * column + 21] == value).all()
    assert shown(np.zeros(784), binary=True, grid=[28, 28]).shape == (56, 56, 3)
    assert shown(np.zeros(16), binary=True, grid=[4, 4]).shape == (64, 64, 3)
    assert shown(np.ones(200 * 100), binary=True, grid=[200, 100]).shape == (96, 48, 3)


@pytest.mark.parametrize(
    ("vector", "row", "column"),
    [((0, 0), 31.5, 31.5), ((4, 2), 0, 63), ((-4, -2), 63, 0), ((2, -1), 47.25, 47.25), ((99, 0), 31.5, 63)],
)
def test_two_real_numbers_are_a_point_in_their_extent(vector: Any, row: float, column: float) -> None:
    """The first to the right, the second upwards; what lies outside stands at the edge."""
    picture = shown(vector, binary=False, extent=EXTENT)
    assert picture.shape == (SIDE, SIDE, 3)
    rows, found = np.nonzero(inked(picture))
    for places, middle in ((rows, row), (found, column)):
        inside = [edge for edge in (middle - DOT, middle + DOT) if 0 <= edge <= SIDE - 1]
        assert all(min(abs(places - edge)) <= 1 for edge in inside)
        assert np.abs(places - middle).max() <= DOT + 1


def test_without_an_extent_a_plot_reaches_four_deviations_about_the_mean() -> None:
    known = {"binary": False, "mean": [10.0, -5.0], "deviation": [1.0, 0.5]}
    own = [[6.0, 14.0], [-7.0, -3.0]]
    assert (shown((11, -6), **known) == shown((11, -6), **known, extent=own)).all()
    assert (shown((1, 2)) == shown((1, 2), extent=[[-4, 4], [-4, 4]])).all()


def test_bars_stand_on_zero_and_reach_four_deviations() -> None:
    picture = shown([2, -4, 0, 9], binary=False, mean=[0.0, 0, 0, 1], deviation=[1.0, 2, 0, 2])
    assert picture.shape == (SIDE, SIDE, 3)
    bars = inked(picture)
    assert [int(bars[:, 16 * bar + 5].sum()) for bar in range(4)] == [17, 17, 0, 33]
    assert bars[:32, 5].sum() == 16
    assert bars[33:, 21].sum() == 16
    assert not bars[:, 15].any()
    assert (picture[32, 32:47] == PALE).all()


def test_bars_of_0_and_1_are_there_or_not() -> None:
    bars = inked(shown([1, 0, 1, 1, 0], binary=True))
    assert [bars[:, at].all() for at in (3, 18, 30, 45, 58)] == [True, False, True, True, False]
    assert [bars[:, at].any() for at in (18, 58)] == [False, False]
    assert inked(shown([0, 1], binary=True))[:, 40].all()


@pytest.mark.parametrize("width", [1, 2, 3, 63, 64, 65, 1000])
@pytest.mark.parametrize("binary", [True, False])
def test_all_samples_of_a_data_set_give_one_size(width: int, binary: bool) -> None:
    random = np.random.default_rng(0)
    x = random.standard_normal((4, width)) * 3
    known = {"binary": binary, "mean": [0.0] * width, "deviation": [1.0] * width}
    samples = {"vectors": (x > 0).astype(np.float32) if binary else x.astype(np.float32)}
    pictures = [preview(samples, row, known) for row in range(4)]
    assert {picture.shape for picture in pictures} == {(SIDE + 2, SIDE + 2, 3)}
    assert all(inked(picture).any() for picture in pictures if not binary)


def test_a_page_has_sixteen_in_a_row() -> None:
    assert (drawn_part({"vectors": 0}), columns({"vectors": 0})) == ("vectors", 16)
