"""The reader of folders of video with sound: sound and frames of a clip are of the same time."""

import numpy as np
import pytest
import torch

from ssl_models.datasets import sound_folder, video_folder, video_sound_folder
from ssl_models.datasets._sound.aligned import FILLED, LATE, decode_from
from ssl_models.datasets._video import decoding
from ssl_models.datasets._video.clips import clips
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


@pytest.mark.parametrize("hop", [0.3, 1.0])
@pytest.mark.parametrize(("fps", "frames"), [(10.0, 7), (7.0, 5), (24.0, 24)])
def test_a_clip_s_sound_lasts_as_long_as_its_frames(put, fps, frames, hop):
    data = put(changing(), fps=fps, frames=frames, hop=hop)
    sound = data.train.parts["sound"]
    assert sound.shape[1] == round(frames / fps * 8000)
    step = round(hop * fps)
    for index, (clip, heard) in enumerate(zip(data.train.parts["frames"], sound, strict=True)):
        change = CHANGE - index * step / fps
        if 0.05 < change < frames / fps - 0.05:
            assert abs(high_from(heard) - change * 8000) < 80
            assert blue_from(clip) == int(np.ceil(change * fps - 1e-6)) % frames  # 0 where none is


def test_sound_that_starts_before_the_pictures_is_cut():
    content = video(counted(10), times=[1 + index / 10 for index in range(10)], sound=ramp(2.0))
    found = decode_from(content, 8000, decoding.decode(content, clips(16, 10, 10.0)).start, 8000)
    assert np.abs(found.samples - np.round(ramp(2.0)[8000:] * 32767)).max() <= 1


def test_silence_stands_before_sound_that_starts_late():
    content = video(counted(10), sound=ramp(0.5), sound_start=0.25)
    found = decode_from(content, 8000, 0.0, 8000)
    assert found.remarks == {LATE: "0.25 s"}
    assert not found.samples[:2000].any()
    assert np.abs(found.samples[2000:] - np.round(ramp(0.5) * 32767)).max() <= 1
    with pytest.raises(ValueError, match=r"its sound begins 0\.25 s after its pictures, behind all of its clips"):
        decode_from(content, 8000, 0.0, 1000)


def test_gaps_in_the_sound_are_filled_so_that_it_stays_in_time():
    import io

    import av

    content = video(counted(10), sound=ramp(0.5))
    stream = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(stream, "w", format="matroska") as output:
        copied = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None:
                packet.pts += 300 if packet.pts >= 250 else 0  # ms
                packet.dts, packet.stream = packet.pts, copied
                output.mux(packet)
    found = decode_from(stream.getvalue(), 8000, 0.0, 8000)
    wanted = np.round(ramp(0.5) * 32767)
    assert found.remarks == {FILLED: "0.30 s"}
    assert len(found.samples) == 6400
    assert np.abs(found.samples[:2000] - wanted[:2000]).max() <= 1
    assert not found.samples[2000:4400].any()
    assert np.abs(found.samples[4400:] - wanted[2000:]).max() <= 1


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
