"""Decoding of video: which frame is shown when, how it is turned and scaled; what is said of odd and broken files."""

import io
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets._common.media import DAMAGED, SHORTER
from ssl_models.datasets._common.suffixes import SOUNDS, VIDEOS
from ssl_models.datasets._video import decoding
from ssl_models.datasets._video.clips import clips
from ssl_models.datasets._video.cutting import Cutter
from ssl_models.datasets._video.decoding import LONGER, seconds
from ssl_models.datasets._video.times import BACKWARD, LONGEST, RESET, TIMELESS, Clock, shown
from tests.ssl_models import pictures
from tests.ssl_models.sounds import encoded, tone
from tests.ssl_models.videos import counted, covered, damaged, decode, numbers, video

torch.set_num_threads(1)
TEN = clips(16, 10, 10.0)
FRAGMENTED = {"movflags": "empty_moov+frag_keyframe"}


def read(content, how=TEN):
    """The numbers of the frames, and the remarks."""
    found = decode(content, how)
    return numbers(found.frames).tolist(), found.remarks


def noise(number):
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (32, 48, 3), np.uint8) for _ in range(number)]


# Times


def frame(time, lasts=0):
    return SimpleNamespace(time=time, duration=lasts, time_base=Fraction(1, 10))


@pytest.mark.parametrize(
    ("times", "lasts", "fps", "wanted"),
    [
        ([0, 0.1, 0.2], 1, 10, [1, 1, 1]),
        ([0, 0.1, 0.2], 2, 10, [1, 1, 2]),
        ([5, 5.1, 5.2], 1, 20, [2, 2, 2]),
        ([0, 0.1, 0.2, 0.3], 1, 5, [1, 0, 1, 0]),
        ([0, 0.05, 0.1, 0.45], 1, 10, [1, 0, 4, 1]),
        ([0, 0.1004, 0.2004], 1, 10, [1, 1, 1]),
        ([0], 1, 10, [1]),
        ([0, 0, 0.1], 1, 10, [0, 1, 1]),
    ],
)
def test_the_frame_that_is_shown_at_each_time_is_taken(times, lasts, fps, wanted):
    frames = [frame(time, lasts) for time in times]
    found = {id(one): number for one, number in shown([(one.time, one) for one in frames], fps, 0.1)}
    assert [found.get(id(one), 0) for one in frames] == wanted
    ends = [*times[1:], times[-1] + lasts / 10]
    at = [times[0] + k / fps for k in range(round((ends[-1] - times[0]) * fps))]
    naive = [sum(begin - 1e-3 <= time < end - 1e-3 for time in at) for begin, end in zip(times, ends, strict=True)]
    assert naive == wanted


@pytest.mark.parametrize(
    ("told", "given", "remarks"),
    [
        ([0, 0.1, 0.2], [0, 0.1, 0.2], {}),
        ([3, 3.1], [3, 3.1], {}),
        ([0, 0.2, 0.1, 0.3], [0, 0.2, 0.2, 0.3], {BACKWARD: "1 frame"}),
        ([9, 9.1, 0, 0.1], [9, 9.1, 9.2, 9.3], {RESET: "1 frame"}),
        ([0, LONGEST, 9e4, 9e4 + 0.1], [0, LONGEST, LONGEST + 0.1, LONGEST + 0.2], {RESET: "1 frame"}),
        ([None, None, 0.5, None], [0, 0.1, 0.5, 0.6], {TIMELESS: "3 frames"}),
    ],
)
def test_times_that_lack_or_run_backwards_are_amended(told, given, remarks):
    clock = Clock(10, {})
    assert [time for time, _ in clock.timed([frame(time) for time in told])] == pytest.approx(given)
    assert clock.remarks == remarks


def test_a_file_of_variable_rate_is_sampled_by_time():
    assert read(video(counted(5), times=[0, 0.05, 0.1, 0.5, 0.9])) == ([0, 2, 2, 2, 2, 3, 3, 3, 3, 4], {})


@pytest.mark.parametrize(("rate", "step"), [(5, 0.5), (10, 1), (25, 2.5), (30, 3)])
def test_other_rates_give_as_many_frames_a_second(rate, step):
    assert read(video(counted(rate), rate)) == ([int(index * step) for index in range(10)], {})


FORMATS = [
    *[("mp4", "libx264"), ("mov", "mpeg4"), ("webm", "libvpx"), ("mpeg", "mpeg1video"), ("mpegts", "mpeg2video")],
    *[("avi", "mpeg4"), ("asf", "wmv2"), ("flv", "flv"), ("ivf", "libvpx"), ("yuv4mpegpipe", "rawvideo")],
]


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_every_format_is_read(container, codec):
    found, remarks = read(video(counted(20, 64, 48), 25, container=container, codec=codec))
    assert np.abs(np.array(found) - [0, 2, 5, 7, 10, 12, 15, 17]).max() <= 1  # as the codec leaves the greys
    assert remarks == {}


def test_times_of_a_file_that_run_backwards_are_told():
    times, at = [index / 10 for index in range(8)], [2000, 2100, 2050, 2300, 2400, 2500, 2450, 2700]
    assert read(video(counted(8), times=times, told=at)) == ([0, 2, 2, 3, 4, 6, 6, 7], {BACKWARD: "2 frames"})
    far = [7000, 7100, 7200, 7300, 2000, 2100, 2200, 2300]
    assert read(video(counted(8), times=times, told=far)) == ([*range(8)], {RESET: "1 frame"})
    far = [1000, 1100, 1200, 1300, 900_000, 900_100, 900_200, 900_300]
    assert read(video(counted(8), times=times, told=far)) == ([*range(8)], {RESET: "1 frame"})


def test_two_files_in_one_are_read_on_and_one_without_times_by_its_rate():
    one = video(counted(25, 64, 48), 25, container="mpeg", codec="mpeg1video")
    found, remarks = read(one + one)
    assert len(found) == 20
    assert remarks == {RESET: "1 frame"}
    found, remarks = read(video(counted(20, 64, 48), 25, container="h264", codec="libx264"))
    assert (len(found), remarks) == (8, {TIMELESS: "20 frames"})


# Squares


def marked(width=48, height=32):
    """A frame that is white at the top and grey at the left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 3] = 120
    pixels[: height // 4] = 250
    return pixels


@pytest.mark.parametrize(("rotation", "mirrored"), [(0, False), (90, False), (180, False), (-90, False), (0, True)])
def test_frames_are_turned_and_mirrored_as_the_file_says(rotation, mirrored):
    content = video([marked()] * 3, container="mp4", codec="libx264", rotation=rotation, mirrored=mirrored)
    upright = np.rot90(marked(), rotation // 90)
    upright = upright[:, ::-1] if mirrored else upright
    found = decode(content, clips(32, 2, 10.0))
    assert found.size == (upright.shape[1], upright.shape[0])
    left, top = (upright.shape[1] - 32) // 2, (upright.shape[0] - 32) // 2
    middle = upright[top : top + 32, left : left + 32].astype(float)
    assert np.abs(found.frames[0].transpose(1, 2, 0) - middle).mean() < 4


def test_frames_are_scaled_as_a_good_scaler_does():
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 255, (6, 9, 3), np.uint8))
    picture = coarse.resize((180, 120), Image.Resampling.BICUBIC)
    found = decode(video([np.asarray(picture)]), clips(24, 2, 10.0))
    wanted = np.asarray(picture.resize((36, 24), Image.Resampling.BICUBIC))[:, 6:30]
    assert np.abs(found.frames[0].transpose(1, 2, 0).astype(float) - wanted).mean() < 2


def test_pixels_that_are_no_squares_become_squares():
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[:, 13:35] = 255  # 44 of 96 pixels: all of the middle
    found = decode(video([pixels], aspect="2/1", container="mp4", codec="libx264"), clips(32, 2, 10.0))
    assert found.size == (96, 32)
    assert found.frames[0].min() > 200


def test_a_frame_that_is_no_square_by_far_is_refused():
    with pytest.raises(ValueError, match=r"its frames have 1,500 x 16 pixels: too narrow for a square"):
        decode(video([np.zeros((16, 1500, 3), np.uint8)]), TEN)


def test_frames_of_a_hundred_million_pixels_are_not_decoded(monkeypatch):
    monkeypatch.setattr(decoding, "MOST_PIXELS", 1000)
    with pytest.raises(ValueError, match="its frames have 48 x 32 pixels, over 1,000"):
        decode(video(counted(2)), TEN)


# Faults


def test_what_is_no_video_is_told():
    unknown = "no format of video that is known, or cut off before its pictures"
    picture = [pictures.encoded(np.zeros((16, 16, 3), np.uint8), form) for form in ("PNG", "JPEG", "GIF", "TIFF")]
    cut = video(counted(20), container="mp4", codec="libx264")[:-900]  # its index is at its end
    for content in (b"some text\n" * 200, bytes(5000), np.random.default_rng(0).bytes(9000), cut, *picture):
        with pytest.raises(ValueError, match=unknown):
            decode(content, TEN)
        assert seconds(content) == 0
    with pytest.raises(ValueError, match=r"^the file is empty$"):
        decode(b"", TEN)
    with pytest.raises(ValueError, match=r"^no video in it, only audio; `reader: sound_folder` reads its sound$"):
        decode(encoded("mp4", "aac", tone(300), 8000), TEN)


def test_the_picture_of_a_cover_is_no_video():
    with pytest.raises(
        ValueError, match=r"^no video in it, only the picture of a cover and audio; `reader: sound_folder` reads"
    ):
        decode(covered(), TEN)
    assert len(decode(covered(marked=False), TEN).frames) == 10  # one second of a video of one frame


def test_a_list_of_files_is_not_followed(tmp_path):
    (tmp_path / "a.mkv").write_bytes(video(counted(3)))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mkv\n")
    (tmp_path / "list.mkv").write_text("#EXTM3U\n#EXTINF:1,\na.mkv\n")
    for name in ("list.mp4", "list.mkv"):
        with pytest.raises(ValueError, match="no format of video"):
            decode(tmp_path / name, TEN)
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "gone.mp4", TEN)


def test_no_frame_at_all_is_told():
    empty = video(counted(1), container="mp4", codec="mpeg4", options=FRAGMENTED)
    empty = empty[: empty.index(b"moof") - 4]
    with pytest.raises(ValueError, match=r"^it holds no video: 0 frames$"):
        decode(empty, TEN)


def test_a_header_that_tells_nothing_is_no_fault():
    import av

    content = video(noise(20), container="webm", codec="libvpx")
    with av.open(io.BytesIO(content)) as opened:
        assert opened.streams.video[0].frames == 0
    raw = video(counted(20), container="h264", codec="libx264")
    assert seconds(raw) == 0
    assert len(decode(raw, TEN).frames) == 20
    assert len(decode(content, TEN).frames) == 20


def test_what_is_cut_off_is_read_as_far_as_it_goes():
    whole = video(counted(20))
    found, remarks = read(whole[: len(whole) * 2 // 3])
    assert found == [*range(len(found))]
    assert remarks == {SHORTER: f"{len(found) / 10:.2f} of 2.00 s"}
    whole = video(noise(60), container="mp4", codec="mpeg4", options=FRAGMENTED)
    assert 10 <= len(decode(whole[: len(whole) * 2 // 3], TEN).frames) < 60


def test_damage_is_told_and_borne_up_to_a_tenth():
    whole = video(noise(40), codec="mjpeg")
    assert decode(damaged(whole, 30), TEN).remarks == {DAMAGED: "2 of 41 packets"}  # the last one is empty
    with pytest.raises(ValueError, match=r"damaged: 20 of 41 packets cannot be decoded \(Invalid data"):
        decode(damaged(whole, 2), TEN)


def test_of_what_lasts_too_long_the_start_is_read_and_told(monkeypatch):
    monkeypatch.setattr("ssl_models.datasets._video.clips.MOST_HOURS", 1.5 / 3600)
    assert read(video(counted(20))) == ([*range(15)], {LONGER: "15 frames"})
    assert read(video(counted(20), times=[0, *np.arange(19) / 100 + 1.45])) == ([0] * 15, {LONGER: "15 frames"})
    assert read(video(counted(15))) == ([*range(15)], {})


# Clips, formats


@pytest.mark.parametrize(
    ("hop", "most", "starts"), [(0, 0, [0, 10, 20]), (0.5, 0, [0, 5, 10, 15, 20]), (0, 2, [0, 10])]
)
def test_only_whole_clips_are_taken(hop, most, starts):
    cut = clips(16, 10, 10.0, hop, most)
    assert cut.starts(32) == starts
    for frames in range(60):
        assert cut.count(frames) == len(cut.starts(frames))
        cutter = Cutter(cut)
        for _ in range(frames):
            cutter.add(np.zeros(1))
        assert (cutter.number, cutter.piece().starts) == (cut.count(frames), cut.starts(frames))
    assert cut.starts(9) == []
    assert "9 frames at 10 a second (0.90 s), and a clip takes 10 (1.00 s)" in cut.too_short(9)


def test_all_formats_are_built_in_and_no_suffix_is_a_pictures():
    import av

    from ssl_models.datasets._common.pictures import SUFFIXES

    assert not set(decoding.FORMATS.split()) - av.formats_available - {"mov", "matroska"}
    assert not VIDEOS & SUFFIXES
    assert {".mp4", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".m4v"} <= VIDEOS & SOUNDS
