"""Readers of video hold a piece of a video at a time, and give the same whatever is written where."""

import os
import tracemalloc

import numpy as np
import pytest
import torch

from ssl_models.datasets import video_folder
from ssl_models.datasets._video import cutting, taken, tracker, videos
from ssl_models.datasets._video.taken import Cut
from tests.ssl_models.test_video_folder import acts, load, put  # noqa: F401 - a fixture
from tests.ssl_models.videos import damaged, greys, video

torch.set_num_threads(1)


@pytest.mark.parametrize("workers", [1, 3])
def test_what_is_written_is_what_memory_would_hold(acts, tmp_path_factory, workers):  # noqa: F811
    room = tmp_path_factory.mktemp("room")
    known = load(acts)
    listing = videos.listed(str(acts), 0.2, "skip", 0)
    data = videos.read(listing, "acts", video_folder._wanted(16, 5, 10.0, 0.0, 0, 0), "skip", room, workers)
    assert (data.train.written, known.train.written) == (("frames",), ())
    assert sorted(os.listdir(room)) == ["test.frames.npy", "train.frames.npy"]
    for ours, theirs in ((data.train, known.train), (data.test, known.test)):
        assert torch.equal(ours.parts["frames"], theirs.parts["frames"])
        assert ours.origin.files == theirs.origin.files
    assert np.array_equal(np.load(room / "train.frames.npy"), known.train.parts["frames"])


def test_headers_that_lie_leave_neither_gaps_nor_too_little_room(acts, tmp_path_factory, monkeypatch):  # noqa: F811
    known = load(acts)
    for told in (0.001, 100.0):
        monkeypatch.setattr(videos, "seconds", lambda _, told=told: told)
        for room in (None, tmp_path_factory.mktemp("room")):
            assert torch.equal(load(acts, room=room).train.parts["frames"], known.train.parts["frames"])


def test_frames_are_not_held_in_memory_where_there_is_room(tmp_path):
    content = video(greys([90] * 30))
    for index in range(30):
        put(tmp_path / "videos" / f"{index}.mkv", content)

    def peak(room):
        tracemalloc.start()
        data = load(tmp_path / "videos", size=64, room=room)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, sum(split.parts["frames"].nbytes for split in (data.train, data.test))

    held, total = peak(None)
    assert held > total
    assert peak(tmp_path / "room")[0] < total / 2


@pytest.mark.parametrize(("hop", "number"), [(0.0, 120), (50.0, 2)])
def test_of_a_long_video_a_piece_is_in_memory(tmp_path, monkeypatch, hop, number):
    monkeypatch.setattr(cutting, "PIECE", 2**20)
    monkeypatch.setattr(videos, "MOST_WAITING", 2**21)
    for name in ("a", "b"):
        put(tmp_path / "videos" / f"{name}.mkv", video(greys([90] * 600)))
    tracemalloc.start()
    data = load(tmp_path / "videos", size=160, hop=hop, room=tmp_path / "room")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(data.train), len(data.test)) == (number, number)
    assert peak < 2**24 < 600 * 3 * 160**2 / 2
    assert data.train.parts["source"].unique().tolist() == [0]


def test_what_breaks_off_behind_its_first_piece_is_kept_and_told(tmp_path, monkeypatch):
    frames = [np.random.default_rng(index).integers(0, 255, (32, 48, 3), np.uint8) for index in range(40)]
    whole = video(frames, codec="mjpeg")
    put(tmp_path / "a.mkv", whole)
    put(tmp_path / "b.mkv", damaged(whole, 3))
    put(tmp_path / "c.mkv", whole)
    assert [text.partition(" (")[0] for text in load(tmp_path).skipped] == [
        "b.mkv: damaged: 14 of 41 packets cannot be decoded"
    ]
    monkeypatch.setattr(cutting, "PIECE", 6 * 3 * 16 * 16)
    data = load(tmp_path)
    assert data.skipped == ()
    assert [note.partition(" (")[0] for note in data.notes] == [f"1 video is {videos.BROKEN_OFF}: b.mkv"]
    assert len(data.train) + len(data.test) == 8 + 8 + 7
    with pytest.raises(ValueError, match=r"b\.mkv cannot be read as video: damaged: 14 of 41"):
        load(tmp_path, unreadable="refuse")


def test_tracks_are_sought_of_few_large_clips_at_once(monkeypatch):
    clips = torch.from_numpy(np.random.default_rng(0).integers(0, 255, (3, 4, 3, 96, 96), np.uint8))
    known = tracker.reduced(clips, 3)
    wanted, sizes = video_folder._wanted(96, 4, 10.0, 0.0, 0, 1), []
    cut = Cut([*clips.flatten(0, 1).numpy()], [0, 4, 8], [], (96, 96))
    tracks = taken.tracks_of(cut, wanted)
    monkeypatch.setattr(tracker, "AT_ONCE", 2 * 3 * 96 * 96)
    monkeypatch.setattr(taken, "AT_ONCE", 2 * clips[0].nbytes)
    assert torch.equal(tracker.reduced(clips, 3), known)
    found = tracker.tracks
    monkeypatch.setattr(tracker, "tracks", lambda frames, **how: sizes.append(len(frames)) or found(frames, **how))
    assert torch.equal(taken.tracks_of(cut, wanted), tracks)
    assert sizes == [2, 1]
