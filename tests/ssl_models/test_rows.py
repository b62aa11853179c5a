"""Rows of a file are what the same array in memory gives, and nothing of it is read that is not asked for."""

from __future__ import annotations

import os
from copy import copy
from pathlib import Path

import numpy as np
import pytest

from ssl_models import rows
from ssl_models.rows import Rows, chosen, middle, open_rows

PICTURES = np.random.default_rng(0).integers(0, 256, (11, 3, 7, 6), dtype=np.uint8)
KEYS = {
    "one": 4,
    "a number of numpy": np.int64(0),
    "the last": -1,
    "all": slice(None),
    "some": slice(3, 8),
    "beyond": slice(9, 99),
    "none": slice(5, 5),
    "every other": slice(1, 10, 2),
    "backwards": slice(None, None, -3),
    "numbers, one twice": np.array([7, 0, 7, -2]),
    "a list": [3, 1],
    "no numbers": np.array([], np.int64),
    "a mask": np.arange(11) % 3 == 0,
}


def written(folder: Path, array: np.ndarray) -> rows.Samples:
    np.save(folder / "rows.npy", array)
    return open_rows(folder / "rows.npy")


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "middle"])
def test_rows_are_indexed_as_an_array_is(tmp_path: Path, key, cut: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BLOCK", 4 * 3 * 7 * 6)
    found, array = written(tmp_path, PICTURES), PICTURES
    if cut:
        found, array = middle(found, (3, 4, 4)), PICTURES[:, :, 1:5, 1:5]
    assert isinstance(found, Rows)
    assert (found.shape, found.dtype, found.ndim, found.nbytes) == (array.shape, array.dtype, 4, array.nbytes)
    np.testing.assert_array_equal(found[key], array[key], strict=True)
    np.testing.assert_array_equal(np.asarray(found), array, strict=True)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_some_of_the_rows_are_rows_too(tmp_path: Path, key) -> None:
    numbers = np.array([9, 2, 2, 5, 10, 0, 1, 8, 3, 4, -1])
    found = chosen(middle(written(tmp_path, PICTURES), (3, 3, 6)), numbers)
    assert isinstance(found, Rows)
    np.testing.assert_array_equal(found[key], PICTURES[numbers][:, :, 2:5][key], strict=True)
    np.testing.assert_array_equal(found.only(np.array([1, 0]))[:], PICTURES[[2, 9]][:, :, 2:5])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int16, np.int32, np.int64, bool])
def test_every_type_of_number_is_read(tmp_path: Path, kind: type) -> None:
    array = np.random.default_rng(1).normal(0, 99, (5, 4)).astype(kind)
    np.testing.assert_array_equal(written(tmp_path, array)[[3, 0]], array[[3, 0]], strict=True)


def test_the_middle_of_a_middle_lies_in_it(tmp_path: Path) -> None:
    twice = middle(middle(written(tmp_path, PICTURES), (3, 5, 6)), (3, 1, 2))
    np.testing.assert_array_equal(twice[:], PICTURES[:, :, 3:4, 2:4])


def test_another_order_in_memory_is_read_all_the_same(tmp_path: Path) -> None:
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    found = written(tmp_path, array)
    assert not isinstance(found, Rows)
    np.testing.assert_array_equal(chosen(found, np.array([2])), array[[2]])


def test_no_samples_are_no_samples(tmp_path: Path) -> None:
    found = written(tmp_path, np.zeros((0, 3, 8, 8), np.uint8))
    assert found[:].shape == found[0:5].shape == (0, 3, 8, 8)


def test_only_what_is_asked_for_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(tmp_path, PICTURES)
    read: list[int] = []
    whole = os.preadv
    monkeypatch.setattr(os, "preadv", lambda *given: read.append(whole(*given)) or read[-1])
    found[[2, 9, 4]]
    assert read == [126] * 3
    found[3:8]
    assert read[3:] == [5 * 126]
    found.only(np.arange(9))
    assert len(read) == 4


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (11, "there are 11 samples, and the numbers go from 11 to 11"),
        ([0, -12], "the numbers go from -12 to 0"),
        ((0, 1), r"indexed by their numbers alone, not by \(0, 1\)"),
        (..., "by their numbers alone"),
    ],
)
def test_what_is_not_there_is_refused(tmp_path: Path, key, said: str) -> None:
    with pytest.raises(IndexError, match=said):
        written(tmp_path, PICTURES)[key]


def test_a_file_that_is_cut_while_it_is_read_is_named(tmp_path: Path) -> None:
    found = written(tmp_path, PICTURES)
    os.truncate(tmp_path / "rows.npy", 600)
    np.testing.assert_array_equal(found[2], PICTURES[2])
    with pytest.raises(OSError, match=r"rows\.npy has become shorter while it was read: it ends after 600 bytes"):
        found[2:9]


def test_the_file_stays_open_for_the_last_and_no_longer(tmp_path: Path) -> None:
    found = written(tmp_path, PICTURES)
    (tmp_path / "rows.npy").unlink()
    np.save(tmp_path / "rows.npy", PICTURES[::-1])
    part, again = middle(found, (3, 7, 4)), copy(found)
    descriptor = found._file.descriptor
    del found
    np.testing.assert_array_equal(part[0], PICTURES[0, :, :, 1:5])
    np.testing.assert_array_equal(again[0], PICTURES[0])
    del part, again
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
