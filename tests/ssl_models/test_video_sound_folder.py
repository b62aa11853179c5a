"""The reader of folders of video with sound: sound and frames of a clip are of the same time."""

import numpy as np
import pytest
import torch

from ssl_models.datasets import sound_folder, video_folder, video_sound_folder
from ssl_models.datasets._sound.aligned import LATE
from ssl_models.datasets._video import cutting
from tests.ssl_models.archives import unpacked
from tests.ssl_models.sounds import tone
from tests.ssl_models.videos import counted, video

torch.set_num_threads(1)
RED, BLUE = (200, 30, 30), (30, 30, 200)
CHANGE = 1.5
"""Second at which the picture turns from red to blue, and the tone from low to high."""
SMALL = {"size": 16, "frames": 10}


def changing(late=0.0, seconds=3, rate=8000, **how):
    """Bytes of a file whose picture and tone change together. late: how much later its sound begins."""
    frames = [np.full((48, 64, 3), RED if index < 10 * CHANGE else BLUE, np.uint8) for index in range(10 * seconds)]
    sound = np.concatenate([tone(300, CHANGE - late, rate), tone(2400, seconds - CHANGE, rate)])
    return video(frames, sound=sound, sound_rate=rate, sound_start=late, **how)


def blue_from(frames):
    """(T, 3, S, S) -> the first frame that is blue."""
    colour = np.asarray(frames, float).mean((-1, -2))
    return int(np.argmax(colour[:, 2] > colour[:, 0]))


def high_from(sound):
    """(S,) -> about the first sample of the high tone, whose steps are larger."""
    steps = np.convolve(np.abs(np.diff(np.asarray(sound, float))), np.ones(80) / 80, "same")
    return int(np.argmax(steps > steps.max() / 2))


@pytest.fixture
def put(tmp_path):
    """Writes two files of these bytes, of which one is for testing, and loads them."""

    def load(content, suffix=".mkv", **settings):
        for name in ("a", "b"):
            (tmp_path / f"{name}{suffix}").write_bytes(content)
        return video_sound_folder.load(seed=0, source=str(tmp_path), **{**SMALL, **settings})

    return load


FORMATS = [
    ("matroska", "ffv1", "pcm_s16le", 8000),
    ("mp4", "libx264", "aac", 44100),
    ("webm", "libvpx", "libopus", 48000),
    ("mpegts", "libx264", "aac", 48000),
    ("flv", "flv", "mp3", 44100),
]


@pytest.mark.parametrize("late", [0.0, 0.4])
@pytest.mark.parametrize(("container", "codec", "sound_codec", "rate"), FORMATS)
def test_sound_changes_with_the_picture(put, container, codec, sound_codec, rate, late):
    data = put(changing(late, rate=rate, container=container, codec=codec, sound_codec=sound_codec))
    assert data.known == {"fps": 10.0, "rate": 8000}
    parts = data.train.parts
    assert parts["frames"].shape[:2] == (3, 10)
    assert blue_from(parts["frames"][1]) == 5
    assert abs(high_from(parts["sound"][1]) - 4000) < 160  # 20 ms
    assert blue_from(parts["frames"][2]) == 0
    assert [note for note in data.notes if LATE in note] == ([data.notes[0]] if late else [])


@pytest.mark.parametrize(("hop", "clear"), [(0.3, 2), (1.0, 1)])
@pytest.mark.parametrize(("fps", "frames"), [(10.0, 7), (7.0, 5), (24.0, 24)])
def test_a_clip_s_sound_lasts_as_long_as_its_frames(put, fps, frames, hop, clear):
    data = put(changing(), fps=fps, frames=frames, hop=hop)
    sound, step = data.train.parts["sound"], round(hop * fps)
    assert sound.shape[1] == round(frames / fps * 8000)
    changes = [CHANGE - index * step / fps for index in range(len(sound))]
    inside = [index for index, change in enumerate(changes) if 0.05 < change < (frames - 1) / fps + 0.01]
    assert len(inside) >= clear
    for index in inside:
        assert abs(high_from(sound[index]) - changes[index] * 8000) < 80
        assert blue_from(data.train.parts["frames"][index]) == int(np.ceil(changes[index] * fps - 1e-6))


def ramp(seconds):
    """Samples that tell where they are."""
    return np.linspace(0.01, 0.9, round(seconds * 8000))


def test_videos_without_sound_are_named_and_silent_ones_noted(tmp_path):
    quiet, mute = video(counted(20), sound=np.zeros(16000)), video(counted(20))
    for name, content in (("train/a.mkv", quiet), ("train/b.mkv", mute), ("val/c.mkv", quiet)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    data = video_sound_folder.load(seed=0, source=str(tmp_path), **SMALL)
    assert data.skipped == ("train/b.mkv: no sound in it, only video",)
    assert data.notes == ("2 videos are silent throughout, and kept: train/a.mkv (2.00 s), and 1 more",)
    with pytest.raises(ValueError, match=r"train/b\.mkv cannot be read as video: no sound in it, only video"):
        video_sound_folder.load(seed=0, source=str(tmp_path), **SMALL, unreadable="refuse")


def test_clips_whose_sound_has_ended_are_left_out_and_short_ones_padded(put):
    data = put(video(counted(40), sound=ramp(1.7)))
    assert data.train.parts["length"].tolist() == [[8000], [5600]]
    assert not data.train.parts["sound"][1, 5600:].any()
    assert data.train.origin.files[1].endswith("#t=1")
    what = "without sound in parts; clips of which less than half has sound are left out"
    assert [note.partition(": ")[0] for note in data.notes if "without" in note] == [f"2 videos are {what}"]
    with pytest.raises(ValueError, match=r"look at .*its sound ends after 0\.30 s, before half of its first clip"):
        put(video(counted(40), sound=ramp(0.3)))


def test_clips_before_the_sound_begins_are_left_out(put):
    data = put(video(counted(40), sound=ramp(2.6), sound_start=1.4))
    assert [name.rpartition("#t=")[2] for name in data.train.origin.files] == ["1", "2", "3"]
    assert not data.train.parts["sound"][0, :3200].any()
    assert data.train.parts["sound"][0, 3200:].all()
    assert any("2 videos are with sound that is late; silence is before it" in note for note in data.notes)
    why = r"its sound begins 3\.60 s after its pictures, and no clip has sound for half of it"
    with pytest.raises(ValueError, match=why):
        put(video(counted(40), sound=ramp(0.3), sound_start=3.6))


@pytest.mark.parametrize("hop", [0.3, 1.0, 1.7])
def test_long_videos_are_taken_in_pieces(put, monkeypatch, hop):
    content = video(counted(50), sound=ramp(4.2), sound_start=0.7)
    whole = put(content, hop=hop)
    monkeypatch.setattr(cutting, "PIECE", 12 * 3 * 16 * 16)
    found = put(content, hop=hop)
    assert (found.notes, found.train.origin.files) == (whole.notes, whole.train.origin.files)
    assert all(torch.equal(part, whole.train.parts[name]) for name, part in found.train.parts.items())


def test_parts_are_written_where_there_is_room(put, tmp_path_factory, tmp_path):
    known, room = put(changing()), tmp_path_factory.mktemp("room")
    data = put(changing(), room=room)
    assert data.train.written == ("frames", "sound")
    for part, stored in known.train.parts.items():
        assert torch.equal(stored, data.train.parts[part])
    assert np.load(room / "train.sound.npy").dtype == np.int16
    shapes, told = video_sound_folder.describe(source=str(tmp_path), **SMALL)
    assert list(shapes) == list(known.train.parts)
    assert shapes == {part: tuple(stored.shape[1:]) for part, stored in known.train.parts.items()}
    assert (told, video_sound_folder.KIND) == (known.known, "audiovisual")
    assert video_sound_folder.count(source=str(tmp_path), **SMALL) == (3, 3)


def test_the_same_files_are_frames_and_sound_by_themselves(put, tmp_path):
    data = put(changing())
    frames = video_folder.load(seed=0, source=str(tmp_path), tracks=0, **SMALL)
    sound = sound_folder.load(seed=0, source=str(tmp_path))
    assert torch.equal(frames.train.parts["frames"], data.train.parts["frames"])
    assert torch.equal(sound.train.parts["sound"], data.train.parts["sound"])


@pytest.mark.parametrize("rate", [0, 10**6])
def test_a_rate_out_of_range_is_refused(put, rate):
    with pytest.raises(ValueError, match=f"rate = {rate} must be a whole number from 1,000"):
        put(changing(), rate=rate)


def test_real_clips_have_sound(tmp_path):
    data = video_sound_folder.load(seed=0, source=str(unpacked("clips.tar", tmp_path) / "clips"))
    assert (len(data.train), len(data.test), data.skipped) == (7, 2, ())
    assert (data.train.parts["length"] > 7000).all()
    assert (data.train.parts["sound"].float().std(1) > 0).all()
