"""Large arrays of a data set and of features stay on the disk: parts of them are read, and batches are written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy
import pytest

from ssl_models.rows import Rows
from tasks.artifacts.dataset import Stored
from tasks.artifacts.features import Features

PICTURES = numpy.random.default_rng(0).integers(0, 256, (5, 3, 9, 9), dtype=numpy.uint8)


def test_samples_are_the_middle_of_what_is_stored(tmp_path: Path) -> None:
    numpy.save(tmp_path / "train.images.npy", PICTURES)
    (tmp_path / "dataset.json").write_text(json.dumps({"train": 5, "shapes": {"images": [3, 8, 8]}}))
    stored = Stored(tmp_path)
    whole, used = stored.whole("train")["images"], stored.samples("train")["images"]
    assert isinstance(whole, Rows)
    assert isinstance(used, Rows)
    numpy.testing.assert_array_equal(whole[1:3], PICTURES[1:3])
    numpy.testing.assert_array_equal(used[[4, 0]], PICTURES[[4, 0], :, :8, :8])


def test_features_are_written_as_numpy_writes_them(tmp_path: Path) -> None:
    found = numpy.random.default_rng(1).normal(size=(10, 7)).astype(numpy.float16)
    columns = {"res5": found, "pooled": numpy.asfortranarray(found[:, :3])}
    batches = ({layer: values[block] for layer, values in columns.items()} for block in (slice(0, 6), slice(6, 10)))
    assert Features(tmp_path).write("train", batches, 10) == 10
    for layer, values in columns.items():
        numpy.save(tmp_path / "expected.npy", numpy.ascontiguousarray(values))
        assert (tmp_path / f"train.{layer}.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()


def test_a_full_disk_is_told_before_features_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Features(tmp_path).write("train", [{"res5": numpy.ones((2, 4), numpy.float16)}], 2)
    assert not list(tmp_path.iterdir())
