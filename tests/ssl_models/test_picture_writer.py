"""Where decoded pictures go: in memory or in files, in their order, with few of them at once."""

import io
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models.datasets._common import writer
from ssl_models.datasets._common.in_order import AHEAD, in_order
from tests.ssl_models.pictures import encoded, noise, read

torch.set_num_threads(1)


@pytest.mark.parametrize("place", [None, "room"])
def test_the_bytes_are_the_same_with_any_number_of_workers(tmp_path, place):
    deep = encoded(np.arange(256, dtype=np.uint16).reshape(16, 16), "TIFF")
    content = [*noise(30), deep, b"broken", *noise(5, 40)]
    made = []
    for workers in (1, 3):
        room = place and tmp_path / place / str(workers)
        made.append(read(content, noise(3), 16, store=1.25, workers=workers, room=room))
    assert torch.equal(made[0].train.images, made[1].train.images)
    assert made[0].train.origin.files == made[1].train.origin.files
    assert (made[0].skipped, made[0].notes) == (made[1].skipped, made[1].notes)
    if place:
        written = [(tmp_path / place / str(workers) / "train.images.npy").read_bytes() for workers in (1, 3)]
        assert written[0] == written[1]


def test_a_file_holds_what_memory_would(tmp_path):
    content = [*noise(4), b"broken", encoded(np.full((9, 9), 900, np.uint16), "TIFF")]
    known = read(content, noise(2), 8)
    data = read(content, noise(2), 8, room=tmp_path / "new")
    stream = io.BytesIO()
    np.save(stream, known.train.images.numpy())
    assert (tmp_path / "new" / "train.images.npy").read_bytes() == stream.getvalue()
    assert torch.equal(data.train.images, known.train.images)
    assert (data.train.written, known.train.written) == (("images",), ())
    assert sorted(os.listdir(tmp_path / "new")) == ["test.images.npy", "train.images.npy"]


def test_nothing_is_left_of_a_data_set_that_was_not_made(tmp_path):
    with pytest.raises(ValueError, match=r"none of the 1 test images could be read; look at 0\.bin: it is empty"):
        read(noise(2), [b""], 8, room=tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_full_disk_is_an_error_before_the_first_picture(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        read([lambda: pytest.fail("it was opened")], noise(1), 8, room=tmp_path)
    assert Path(raised.value.filename) == tmp_path / "train.images.npy"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_written_to_files_is_not_held_in_memory(tmp_path, monkeypatch, deep):
    monkeypatch.setattr("ssl_models.datasets._pictures.ranges.IN_MEMORY", 2**16)
    values = np.full((64, 64), 900, np.uint16) if deep else np.zeros((64, 64), np.uint8)
    content, total = [encoded(values, "TIFF")] * 150, 150 * 3 * 64 * 64

    def peak(room):
        tracemalloc.start()
        data = read(content, content[:1], 64, room=room, workers=1)
        assert len(data.train) == 150
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(None) > total
    assert peak(tmp_path) < total / 4


def test_few_pictures_are_ahead_of_their_turn():
    begun = []
    results = in_order(lambda item: begun.append(item) or item * item, range(1000), workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 4]
    results.close()
    assert len(begun) <= 3 + 2 * AHEAD + 1


def test_rows_leave_no_file_where_they_end_in_an_error(tmp_path):
    def cut_off():
        with writer.writer(2, (3, 4, 4), tmp_path / "a.npy") as found:
            found.append(np.zeros((3, 4, 4), np.uint8))
            raise KeyError

    with pytest.raises(KeyError):
        cut_off()
    assert os.listdir(tmp_path) == []
