"""The sound of videos keeps to their times: what is late, interrupted, too long, or told by a clock that jumps."""

import io
import tracemalloc

import numpy as np
import pytest
import torch

from ssl_models.datasets import video_folder, video_sound_folder
from ssl_models.datasets._common import files
from ssl_models.datasets._sound.aligned import DROPPED, FILLED, JUMPS, LATE, SMALLEST, sound_from
from ssl_models.datasets._video.clips import clips
from tests.ssl_models.sounds import tone
from tests.ssl_models.videos import counted, decode, greys, video

torch.set_num_threads(1)


def ramp(seconds):
    """Samples that tell where they are."""
    return np.linspace(0.01, 0.9, round(seconds * 8000))


def bursts(seconds, rate=8000, every=1.0):
    """Silence with 40 ms of a tone in the middle of each second."""
    sound = np.zeros(round(seconds * rate))
    for begin in np.arange(0.5, seconds, every):
        at = round(begin * rate)
        sound[at : at + round(0.04 * rate)] = tone(1000, 0.04, rate)
    return sound


def heard(content, start=0.0, seconds=1.0, rate=8000):
    """The samples and the remarks."""
    remarks = {}
    with sound_from(content, rate, start, remarks) as sound:
        return sound.window(0, round(seconds * rate)), remarks | sound.remarks()


def begins(sound, rate=8000):
    """Seconds at which bursts begin."""
    loud = np.flatnonzero(np.abs(sound.astype(int)) > 3000)
    return loud[np.diff(loud, prepend=-rate) > rate // 10] / rate


def repacked(content, change, container="matroska"):
    """The sound of a file: change(milliseconds of a packet) gives those that are told for it, None to leave it out."""
    import av

    stream = io.BytesIO()
    with av.open(io.BytesIO(content)) as source, av.open(stream, "w", format=container) as output:
        copied = output.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None and (told := change(packet.pts)) is not None:
                packet.pts = packet.dts = told
                packet.stream = copied
                output.mux(packet)
    return stream.getvalue()


def test_sound_that_starts_before_the_pictures_is_cut():
    content = video(counted(10), times=[1 + index / 10 for index in range(10)], sound=ramp(2.0))
    found, _ = heard(content, decode(content, clips(16, 10, 10.0)).start)
    assert np.abs(found - np.round(ramp(2.0)[8000:] * 32767)).max() <= 1


def test_silence_stands_before_sound_that_starts_late():
    found, remarks = heard(video(counted(10), sound=ramp(0.5), sound_start=0.25))
    assert remarks == {LATE: "0.25 s"}
    assert not found[:2000].any()
    assert np.abs(found[2000:] - np.round(ramp(0.5) * 32767)).max() <= 1


def test_windows_are_parts_of_the_whole_whether_they_overlap_or_lie_apart():
    content = video(counted(50), sound=ramp(5.0), sound_start=0.25)
    whole, _ = heard(content, seconds=9)
    assert len(whole) == 42000
    for size, hop in ((800, 300), (800, 4000), (9000, 8000), (50000, 1)):
        with sound_from(content, 8000, 0.0, {}) as sound:
            for begin in range(0, 44000, hop)[:200]:
                assert np.array_equal(sound.window(begin, size), whole[begin : begin + size])


def test_gaps_in_the_sound_are_filled_so_that_it_stays_in_time():
    content = repacked(video(counted(10), sound=ramp(0.5)), lambda at: at + 300 if at >= 250 else at)
    found, remarks = heard(content)
    wanted = np.round(ramp(0.5) * 32767)
    assert remarks == {FILLED: "0.30 s"}
    assert len(found) == 6400
    assert np.abs(found[:2000] - wanted[:2000]).max() <= 1
    assert not found[2000:4400].any()
    assert np.abs(found[4400:] - wanted[2000:]).max() <= 1


def test_small_gaps_that_add_up_are_filled():
    whole = video(
        counted(10), container="webm", codec="libvpx", sound=bursts(20, 48000), sound_rate=48000, sound_codec="libopus"
    )
    content = repacked(whole, lambda at: None if at // 20 % 10 == 9 else at, "webm")
    found, remarks = heard(content, seconds=30)
    assert list(remarks) == [FILLED]
    assert float(remarks[FILLED].split()[0]) == pytest.approx(2.0, abs=SMALLEST)
    assert len(found) / 8000 == pytest.approx(20, abs=SMALLEST)
    assert np.abs(begins(found) - begins(heard(whole, seconds=30)[0])).max() <= SMALLEST + 0.001


def test_where_sound_runs_ahead_of_its_times_it_is_cut():
    whole = video(counted(10), sound=ramp(20.0))
    found, remarks = heard(repacked(whole, lambda at: round(at * 0.9)), seconds=30)
    assert list(remarks) == [DROPPED]
    packet = 0.125
    assert float(remarks[DROPPED].split()[0]) == pytest.approx(2.0, abs=SMALLEST + packet)
    seconds_of = (found / 32767 - 0.01) / 0.89 * 20  # those of the whole that each sample is of
    assert np.abs(0.9 * seconds_of - np.arange(len(found)) / 8000).max() <= SMALLEST + 0.1 * packet + 0.001


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_f32le", "pcm_s24le", "aac", "mp2"])
def test_samples_of_any_kind_are_cut_and_filled(codec):
    whole = video(counted(10), sound=bursts(6, 16000), sound_rate=16000, sound_codec=codec)
    for change, odd in ((lambda at: round(at * 0.9), DROPPED), (lambda at: round(at * 1.1), FILLED)):
        found, remarks = heard(repacked(whole, change), seconds=10)
        assert list(remarks) == [odd]
        wanted = [change(1000 * at) / 1000 for at in begins(heard(whole, seconds=10)[0])]
        assert np.abs(begins(found) - wanted).max() <= SMALLEST + 0.03


SOUND_OF = [
    *[("mov", "pcm_s16be"), ("matroska", "flac"), ("mp4", "alac"), ("mp4", "aac"), ("avi", "mp3"), ("avi", "ac3")],
    *[("flv", "adpcm_swf"), ("mpegts", "mp3"), ("mpegts", "ac3"), ("mpeg", "mp2"), ("matroska", "wavpack")],
]


@pytest.mark.parametrize(("container", "codec"), SOUND_OF)
def test_nothing_is_filled_or_cut_in_a_file_without_a_fault(container, codec):
    pictures = {"flv": "flv", "mpeg": "mpeg1video"}.get(container, "mpeg4")
    how = {"container": container, "codec": pictures, "sound_codec": codec, "sound_rate": 44100}
    content = video(greys([90] * 50, 64, 48), 25, sound=bursts(4, 44100), **how)
    found, remarks = heard(content, decode(content, clips(16, 10, 10.0)).start, seconds=9)
    assert remarks == {}
    assert begins(found) == pytest.approx([0.5, 1.5, 2.5, 3.5], abs=0.03)  # MP3 and AAC in AVI: 25 ms of their filters


@pytest.mark.parametrize(("by", "remark"), [(900_000, JUMPS), (-100, DROPPED)])
def test_a_clock_that_jumps_by_minutes_takes_nothing_away(by, remark):
    whole = video(counted(10), sound=bursts(6))
    found, remarks = heard(repacked(whole, lambda at: at + by if at >= 3000 else at), seconds=10)
    assert list(remarks) == [remark]
    assert np.array_equal(found, heard(whole, seconds=10)[0]) == (remark == JUMPS)


def test_a_clock_that_is_set_back_takes_nothing_away():
    one = video(
        greys([90] * 75, 64, 48),
        25,
        sound=bursts(3, 48000),
        sound_rate=48000,
        sound_codec="mp2",
        container="mpegts",
        codec="mpeg1video",
    )
    found, remarks = heard(one + one, start=decode(one, clips(16, 10, 10.0)).start, seconds=10)
    assert list(remarks) == [JUMPS]
    assert begins(found) == pytest.approx([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], abs=SMALLEST)


LARGE = 2**29 + 2**20


def test_video_of_any_size_has_its_sound_read(tmp_path):
    content = video(counted(20), container="mp4", codec="libx264", sound=bursts(2), sound_codec="aac")
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / name).write_bytes(content)
        with (tmp_path / name).open("r+b") as file:
            file.truncate(LARGE)  # zeros, which take no room on the disk
    assert files.fault(tmp_path / "a.mp4")
    tracemalloc.start()
    data = video_sound_folder.load(seed=0, source=str(tmp_path), size=16)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(data.train), len(data.test), data.skipped) == (2, 2, ())
    assert peak < 2**26


@pytest.mark.parametrize(
    ("container", "codec", "sound_codec", "rate", "size"),
    [("mxf", "mpeg2video", "pcm_s16le", 48000, (64, 48)), ("avi", "dvvideo", "pcm_s16le", 48000, (720, 576))],
)
def test_whatever_video_is_read_of_has_sound(tmp_path, container, codec, sound_codec, rate, size):
    how = {"container": container, "codec": codec, "sound_codec": sound_codec}
    content = video(counted(50, *size), 25, sound=bursts(2, rate), sound_rate=rate, **how)
    for name in ("a.mkv", "b.mkv"):
        (tmp_path / name).write_bytes(content)
    frames = video_folder.load(seed=0, source=str(tmp_path), size=16)
    data = video_sound_folder.load(seed=0, source=str(tmp_path), size=16)
    assert torch.equal(frames.train.parts["frames"], data.train.parts["frames"])
    assert begins(data.train.parts["sound"].flatten().numpy()) == pytest.approx([0.5, 1.5], abs=0.002)
