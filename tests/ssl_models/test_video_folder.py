"""The reader of folders of video: layouts, clips, splits by video, and what it says of odd files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models.datasets import video_folder, video_sound_folder
from ssl_models.datasets._video import videos
from ssl_models.datasets._video.tracker import tracks
from ssl_models.datasets._video.videos import count
from tests.ssl_models.archives import unpacked
from tests.ssl_models.sounds import encoded, tone
from tests.ssl_models.videos import counted, greys, numbers, video

torch.set_num_threads(1)
SMALL = {"size": 16, "frames": 5}


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def acts(tmp_path):
    """Two classes of five videos of 0.5 to 2.5 s at 10 a second; the grey of each tells its number."""
    for start, name in ((0, "jump"), (10, "run")):
        for index in range(5):
            grey = 20 + 4 * (start + index)
            put(tmp_path / name / f"{index}.mkv", video(greys([grey] * (5 + 5 * index))))
    return tmp_path


def load(source, **settings):
    return video_folder.load(seed=0, source=str(source), **{**SMALL, "tracks": 0, **settings})


# Layouts, clips and splits


def test_clips_have_the_class_of_their_video(acts):
    data = load(acts)
    assert (data.classes, data.known, video_folder.KIND) == (("jump", "run"), {"fps": 10.0}, "video")
    of_video = {}
    for split in (data.train, data.test):
        assert {part: (stored.dtype, *stored.shape) for part, stored in split.parts.items()} == {
            "frames": (torch.uint8, len(split), 5, 3, 16, 16),
            "source": (torch.int32, len(split), 1),
        }
        found = numbers(split.parts["frames"])
        assert (found == found[:, :1]).all()
        assert split.labels.tolist() == (found[:, 0] >= 10).tolist()
        assert split.labels.dtype == torch.int64
        source = split.parts["source"].flatten()
        assert sorted(set(source.tolist())) == [*range(len(set(split.origin.groups)))]
        for number, group, sources in zip(found[:, 0], split.origin.groups, source.tolist(), strict=True):
            assert of_video.setdefault(number, (group, sources)) == (group, sources)
    assert len(of_video) == 10
    assert len(data.train) + len(data.test) == 2 * (1 + 2 + 3 + 4 + 5)


@pytest.mark.parametrize("seed", range(4))
def test_no_video_is_in_both_splits(acts, seed):
    data = video_folder.load(seed=seed, source=str(acts), **SMALL, tracks=0, hop=0.2, test_fraction=0.4)
    assert not set(data.train.origin.groups) & set(data.test.origin.groups)


def test_clips_are_named_by_file_and_second_and_overlap_by_hop(tmp_path):
    for name in ("a", "b"):
        put(tmp_path / f"{name}.mkv", video(counted(12)))
    data = load(tmp_path, hop=0.3)
    assert data.classes == ()
    assert data.train.labels is None
    assert data.train.origin.files == tuple(
        f"{data.train.origin.groups[0]}#t={second}" for second in ("0", "0.3", "0.6")
    )
    assert data.train.origin.sizes.tolist() == [[48, 32]] * 3
    assert numbers(data.train.parts["frames"]).tolist() == [[*range(start, start + 5)] for start in (0, 3, 6)]
    assert len(load(tmp_path, hop=0.3, most=2).train) == 2


def test_given_splits_are_kept_and_other_rates_resampled(tmp_path):
    for split in ("train", "val"):
        for name in ("x", "y"):
            put(tmp_path / split / name / "1.avi", video(counted(25, 64, 48), 25, container="avi", codec="mpeg4"))
    data = load(tmp_path, fps=5.0)
    assert (len(data.train), len(data.test), data.classes) == (2, 2, ("x", "y"))
    assert np.abs(numbers(data.train.parts["frames"]) - [0, 5, 10, 15, 20]).max() <= 1
    assert data.known == {"fps": 5.0}


@pytest.mark.parametrize(
    "settings", [{}, {"hop": 0.2}, {"most": 2}, {"fps": 7.0, "frames": 3, "size": 20, "tracks": 2}]
)
def test_counts_and_shapes_are_told_without_decoding(acts, settings, monkeypatch):
    data = load(acts, **settings)
    monkeypatch.setattr(videos, "opened", lambda *_: pytest.fail("decoded"))
    settings = {**SMALL, "tracks": 0, **settings}
    assert video_folder.count(source=str(acts), seed=0, **settings) == (len(data.train), len(data.test))
    shapes, known = video_folder.describe(source=str(acts), seed=0, **settings)
    assert list(shapes) == list(data.train.parts)
    assert shapes == {part: tuple(stored.shape[1:]) for part, stored in data.train.parts.items()}
    assert known == data.known


def test_of_many_files_some_headers_stand_for_all(acts, monkeypatch):
    monkeypatch.setattr(videos, "MOST_HEADERS", 2)
    listing = videos.listed(str(acts), 0.2, "skip", 0)
    assert count(listing.train, video_folder._wanted(16, 5, 10.0, 0.0, 1, 0).clips) == 8


def test_tracks_are_those_of_the_tracker_and_none_where_none_are_asked_for(tmp_path):
    moving = []
    for time in range(10):
        pixels = np.full((32, 32, 3), 90, np.uint8)
        pixels[10:22, 2 * time : 2 * time + 12] = np.random.default_rng(0).integers(0, 255, (12, 12, 3), np.uint8)
        moving.append(pixels)
    for name in ("a", "b"):
        put(tmp_path / f"{name}.mkv", video(moving))
    data = video_folder.load(seed=0, source=str(tmp_path), size=32, tracks=2)
    found = data.train.parts["tracks"]
    assert (found.shape, found.dtype) == ((1, 2, 10, 4), torch.float32)
    assert torch.equal(found, tracks(data.train.parts["frames"], most=2))
    assert found.any()
    with pytest.raises(
        ValueError, match="size = 8: patches are followed in frames of 16 pixels and more; or set tracks"
    ):
        load(tmp_path, size=8, tracks=1)


# Faults


def test_what_cannot_be_read_is_named_and_what_is_odd_is_noted(acts):
    (acts / "jump" / "page.mp4").write_text("<html>404</html>")
    (acts / "jump" / "nothing.mov").touch()
    (acts / "jump" / "notes.txt").touch()
    put(acts / "run" / "song.mp4", encoded("mp4", "aac", tone(300), 8000))
    put(acts / "run" / "one.mkv", video(counted(1)))
    put(acts / "run" / "short.mkv", video(counted(4)))
    whole = video(counted(20))
    put(acts / "run" / "cut.mkv", whole[: len(whole) * 2 // 3])
    data = load(acts)
    wanted = "and a clip takes 5 (0.50 s); lower `frames`, or raise `fps`"
    assert sorted(data.skipped) == [
        "jump/nothing.mov: the file is empty",
        "jump/page.mp4: no format of video that is known, or cut off before its pictures",
        f"run/one.mkv: too short: 1 frame at 10 a second (0.10 s), {wanted}",
        f"run/short.mkv: too short: 4 frames at 10 a second (0.40 s), {wanted}",
        "run/song.mp4: no video in it, only audio; `reader: sound_folder` reads its sound",
    ]
    assert sorted(data.notes) == [
        "1 file of .txt passed over: no suffix of a video that is read",
        "1 video is shorter than the header tells; what is there is read: run/cut.mkv (1.20 of 2.00 s)",
    ]
    json.dumps([data.skipped, data.notes, data.known])
    with pytest.raises(ValueError, match=r"jump/(page\.mp4|nothing\.mov) cannot be read as video: "):
        load(acts, unreadable="refuse")


def test_nothing_readable_names_the_folder_and_a_file(tmp_path):
    for index in range(4):
        (tmp_path / f"{index}.mp4").write_text("no video")
    with pytest.raises(ValueError, match=f"{tmp_path}: none of the 3 training videos gives a clip; look at .*mp4"):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no videos; files are taken by their suffix: \.3g2, "):
        load(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="nowhere' is not a folder; `source` must name a folder of videos"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size = 0 must lie between 1 and 1,024 pixels"),
        ({"frames": 1}, "frames = 1 must lie between 2 and 256"),
        ({"fps": 0.0}, "fps = 0.0 must lie above 0"),
        ({"fps": float("nan")}, "fps = nan"),
        ({"hop": 0.01}, r"hop = 0.01 s must be at least one frame \(0.1 s\), or 0"),
        ({"hop": -1.0}, "hop = -1.0"),
        ({"most": -1}, "most = -1 must be at least 1, or 0 for all clips of a video"),
        ({"tracks": -1}, r"tracks = -1 must lie between 0 \(none are sought\) and 64 a clip"),
        ({"test_fraction": 1.0}, "test_fraction = 1.0"),
        ({"unreadable": "ignore"}, "unreadable = 'ignore' must be skip or refuse"),
    ],
)
def test_settings_out_of_range_are_refused(acts, settings, message):
    both = [video_folder] if "tracks" in settings else [video_folder, video_sound_folder]
    for reader in both:
        for call in (reader.count, lambda reader=reader, **settings: reader.load(seed=0, **settings)):
            with pytest.raises(ValueError, match=message):
                call(source=str(acts), **settings)


def test_real_clips_are_read(tmp_path):
    data = load(unpacked("clips.tar", tmp_path) / "clips", size=32, frames=10)
    assert (len(data.train) + len(data.test), data.skipped, data.notes) == (9, (), ())
    sizes = {Path(group).suffix: size for split in (data.train, data.test) for group, size in named_sizes(split)}
    assert sizes == {".mpg": [360, 288], ".webm": [1280, 720], ".mp4": [854, 480]}
    assert video_folder.count(source=str(tmp_path / "clips")) == (7, 2)


def named_sizes(split):
    return zip(split.origin.groups, split.origin.sizes.tolist(), strict=True)
