"""Thumbnails: as large as the budget allows, never enlarged, and the same bytes each time."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from tasks.artifacts import thumbnails


@cache
def noise(number: int, side: int = 48) -> np.ndarray:
    """A picture that compresses badly."""
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)


def flat(number: int) -> np.ndarray:
    return np.full((24, 40, 3), number % 256, np.uint8)


@pytest.mark.parametrize(("count", "budget"), [(100, 60_000), (1100, 400_000)])
def test_the_sheets_stay_below_the_budget(count, budget, monkeypatch):
    monkeypatch.setattr(thumbnails, "PROBE", 64)
    monkeypatch.setattr(thumbnails, "BUDGET", budget)
    found = thumbnails.plan(noise, count)
    sheets = [thumbnails.encoded(one, found) for one in thumbnails.drawn(noise, count, found)]
    assert budget / 3 < sum(map(len, sheets)) <= budget
    assert max(found.size) < 48
    assert len(sheets) == -(-count // found.of_sheet)


def test_small_pictures_are_not_enlarged_and_lie_row_by_row():
    found = thumbnails.plan(flat, 70)
    assert (found.size, found.columns, found.rows) == ((40, 24), 32, 3)
    (pictures,) = thumbnails.drawn(flat, 70, found)
    content = thumbnails.encoded(pictures, found)
    assert content == thumbnails.encoded(pictures, found)
    sheet = np.asarray(Image.open(BytesIO(content)))
    assert sheet.shape == (72, 1280, 3)
    assert abs(int(sheet[24 + 12, 40 * 5 + 20, 0]) - 37) < 6  # the sixth of the second row
    assert (sheet[60, 1200] > 245).all()  # no sample is there


def test_a_sheet_has_a_bound_each_way():
    wide = np.zeros((84, 212, 3), np.uint8)
    found = thumbnails.plan(lambda _: wide, 2000)
    assert found.columns * found.width <= thumbnails.WIDEST
    assert found.of_sheet <= thumbnails.SHEET
    assert thumbnails.plan(lambda _: wide, 1).of_sheet == 1
