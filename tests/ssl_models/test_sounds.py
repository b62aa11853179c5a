"""Decoding of sound: depths, channels, rates and formats by hand, and every fault of a file."""

import struct
import tracemalloc

import numpy as np
import pytest

from ssl_models.datasets._common import pictures
from ssl_models.datasets._common.media import CUT_OFF, DAMAGED, SHORTER
from ssl_models.datasets._common.suffixes import SOUNDS
from ssl_models.datasets._sound import decoding
from ssl_models.datasets._sound.decoding import BEHIND, BEYOND, SILENT, decode, seconds
from tests.ssl_models.sounds import A_LAW, FLOAT, MP3, MU_LAW, as_int16, encoded, tone, wav

X = as_int16(tone(440))
FORMATS = [
    ("flac", "flac", 16000),
    ("mp3", "libmp3lame", 44100),
    ("ogg", "libopus", 48000),
    ("ipod", "aac", 44100),
    ("adts", "aac", 44100),
    ("aiff", "pcm_s16be", 22050),
    ("au", "pcm_s16be", 8000),
    ("caf", "pcm_s16le", 11025),
    ("wav", "pcm_s24le", 32000),
    ("webm", "libopus", 48000),
]


def loudest(samples, rate=8000):
    """The frequency, in Hz, with the most energy."""
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax()) * rate / len(samples)


# What comes out


def test_sixteen_bits_of_one_channel_come_out_as_they_are():
    extremes = np.array([-32768, 32767, 0, 1, -1] * 100, np.int16)
    assert decode(wav(extremes), 8000).samples.tolist() == extremes.tolist()
    assert decode(wav(extremes), 8000).remarks == {}


@pytest.mark.parametrize(
    ("stored", "settings"),
    [
        (((X >> 8) + 128).astype(np.uint8), {"bits": 8}),
        (X.astype(np.int32) << 16, {"bits": 32}),
        (b"".join(int(x).to_bytes(2, "little", signed=True).rjust(3, b"\0") for x in X), {"bits": 24}),
        ((X / 32768).astype(np.float32), {"bits": 32, "form": FLOAT}),
        (X / 32768, {"bits": 64, "form": FLOAT}),
    ],
)
def test_other_depths_are_scaled_to_sixteen_bits(stored, settings):
    expected = X & -256 if settings["bits"] == 8 else X
    assert (decode(wav(stored, **settings), 8000).samples == expected).all()


@pytest.mark.parametrize(
    ("form", "codes", "values"),
    [
        (MU_LAW, [0x00, 0x80, 0xFF, 0x7F, 0x8F], [-32124, 32124, 0, 0, 16764]),  # ITU-T G.711
        (A_LAW, [0x2A, 0xAA, 0xD5, 0x55], [-32256, 32256, 8, -8]),
    ],
)
def test_the_telephones_codes(form, codes, values):
    assert decode(wav(bytes(codes) * 99, form=form, bits=8), 8000).samples.tolist() == values * 99


def test_the_mean_of_the_channels_is_taken():
    left, right = np.array([100, -200, 3000, 32767] * 50), np.array([300, -200, -1000, 32767] * 50)
    stereo = np.stack([left, right], 1).astype(np.int16)
    assert decode(wav(stereo, channels=2), 8000).samples.tolist() == [200, -200, 1000, 32767] * 50
    six = np.repeat([[6, 12, 18, 0, 0, 0]], 80, axis=0).astype(np.int16)
    assert set(decode(wav(six, channels=6), 8000).samples.tolist()) == {6}


@pytest.mark.parametrize("rate", [4000, 11025, 16000, 44100, 48000, 96000])
def test_a_tone_survives_resampling_and_stays_where_it_is(rate):
    found = decode(wav(as_int16(tone(440, rate=rate)), rate=rate), 8000).samples
    assert abs(len(found) - 8000) <= 2
    middle = slice(500, 7500)
    assert np.abs(found[middle] - tone(440)[middle] * 32767).max() < 0.01 * 16384


def test_what_the_new_rate_cannot_hold_is_filtered_out():
    found = decode(wav(as_int16(tone(5000, rate=16000)), rate=16000), 8000).samples
    assert np.sqrt(np.mean(found[500:-500].astype(float) ** 2)) < 0.001 * 16384  # else it would be heard at 3 kHz


@pytest.mark.parametrize(("container", "codec", "rate"), FORMATS)
def test_a_tone_of_any_format_is_heard(container, codec, rate):
    found = decode(encoded(container, codec, tone(1000, rate=rate), rate), 8000)
    assert 7500 < len(found.samples) < 9000
    assert abs(loudest(found.samples) - 1000) < 5
    assert set(found.remarks) <= {BEYOND}


def test_the_sound_of_a_video_is_read():
    film = encoded("mp4", "aac", tone(700, rate=44100), 44100, video=True)
    assert abs(loudest(decode(film, 8000).samples) - 700) < 5
    assert decode(film, 8000).remarks == {}
    film = encoded("matroska", "libopus", tone(700, 0.5, 48000), 48000, video=True)
    assert decode(film, 8000).remarks == {}  # the pictures last twice as long
    assert seconds(film) > 0.45


def test_no_more_is_decoded_than_is_asked_for():
    assert (decode(wav(X), 8000, most=100).samples == X[:100]).all()
    assert (decode(wav(X), 8000, most=9000).samples == X).all()


def test_a_long_recording_is_never_in_memory_as_floating_point(tmp_path):
    rate, length = 44100, 120
    (tmp_path / "long.wav").write_bytes(wav(np.tile(np.repeat(as_int16(tone(440, rate=rate)), 2), length), rate, 2))
    decode(tmp_path / "long.wav", 8000, most=1)  # imports
    tracemalloc.start()
    found = decode(tmp_path / "long.wav", 8000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.samples) == 8000 * length
    assert peak < 4 * found.samples.nbytes  # its numbers of floating point at its own rate: 11 times, of one channel


def test_titles_in_latin_1_do_no_harm():
    title = b"LIST" + struct.pack("<I", 18) + b"INFOINAM" + struct.pack("<I", 6) + b"caf\xe9 \0"
    assert (decode(wav(X, before=title), 8000).samples == X).all()
    assert seconds(wav(X, before=title)) == 1


# What is odd, and read


@pytest.mark.parametrize(
    ("content", "remark", "detail", "samples"),
    [
        (wav(X)[: 44 + 5000], SHORTER, "0.31 of 1.00 s", 2500),
        (wav(X, size=48000), SHORTER, "1.00 of 3.00 s", 8000),
        (wav(X, size=6000), BEHIND, "10,000 bytes", 3000),
        (encoded("flac", "flac", tone(440), 8000)[:-2000], SHORTER, " of 1.00 s", None),
        (encoded("mp3", "libmp3lame", tone(440, 2.0, 44100), 44100)[:-4000], SHORTER, " of 2.0", None),
        (encoded("adts", "aac", tone(440, 2.0), 8000)[:-100], CUT_OFF, "Invalid data", None),
        (np.array([0.5, -1.5, 3.0, 1.0] * 50, np.float32), BEYOND, "100 values, up to 3", 200),
        (wav(X * 0), SILENT, "1.00 s", 8000),
    ],
)
def test_what_is_odd_is_read_and_told(content, remark, detail, samples):
    content = content if isinstance(content, bytes) else wav(content, form=FLOAT, bits=32)
    found = decode(content, 8000)
    assert list(found.remarks) == [remark]
    assert detail in found.remarks[remark]
    assert samples in (None, len(found.samples))


def test_beyond_full_scale_is_clipped():
    values = np.array([0.5, -1.5, 3.0, 1.0] * 50, np.float32)
    found = decode(wav(values, form=FLOAT, bits=32), 8000)
    assert found.samples[:4].tolist() == [16384, -32768, 32767, 32767]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_size_that_was_never_filled_in_is_no_lie(size):
    found = decode(wav(X, size=size), 8000)
    assert (found.samples == X).all()
    assert found.remarks == {}


def test_texts_behind_the_sound_are_no_sound():
    assert decode(wav(X, behind=b"LIST" + struct.pack("<I", 4) + b"INFO"), 8000).remarks == {}
    assert len(decode(wav(X, behind=b"LIST" + struct.pack("<I", 4) + b"INFO"), 8000).samples) == 8000


def test_a_little_damage_is_left_out_and_told():
    whole = encoded("adts", "aac", tone(440, 4.0, 44100), 44100)
    found = decode(damaged(whole, [len(whole) // 2]), 8000)
    assert list(found.remarks) == [DAMAGED]
    assert 3.8 * 8000 < len(found.samples) < 4.1 * 8000


def damaged(content, places):
    for place in places:
        content = content[:place] + bytes(50) + content[place + 50 :]
    return content


# What is refused


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"),
        (wav(X)[:30], "no format of sound that is known, or cut off before its sound"),
        (b"hello, this is a text\n" * 500, "no format of sound that is known"),
        (np.random.default_rng(0).bytes(20000), "no format of sound that is known"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "no format of sound that is known"),
        (encoded("ipod", "aac", tone(440), 8000)[:-2000], "cut off before its sound"),
        (wav(X[:0]), "it holds no sound: 0 samples"),
        (wav(X)[:44], "it holds no sound: 0 samples"),
        (encoded("mp4", None, X, 8000, video=True), "no sound in it, only video"),
        (wav(X, rate=1), "its header tells of 1 samples a second; 1,000 to 1,000,000 are read"),
        (wav(X, rate=0), "no format of sound that is known"),
        (wav(X, channels=0, bits=16), "damaged: "),
        (wav(X, form=MP3), "packets cannot be decoded \\(Invalid data found"),
        (wav(X, form=0x1234), "its sound is coded in a way that is not known"),
        (wav(np.array([0, np.nan], np.float32), form=FLOAT, bits=32), "it holds NaN, which is no sound"),
        (wav(np.array([0, -np.inf], np.float64), form=FLOAT, bits=64), "it holds infinity, which is no sound"),
    ],
)
def test_what_cannot_be_read_is_told(content, why):
    with pytest.raises(ValueError, match=why):
        decode(content, 8000)


def test_much_damage_is_refused():
    whole = encoded("adts", "aac", tone(440, 4.0, 44100), 44100)
    with pytest.raises(ValueError, match=r"damaged: \d+ of \d+ packets cannot be decoded"):
        decode(damaged(whole, range(500, len(whole) - 500, 500)), 8000)


def test_lists_of_files_are_not_followed(tmp_path):
    (tmp_path / "secret.wav").write_bytes(wav(X))
    (tmp_path / "list.wav").write_text("ffconcat version 1.0\nfile secret.wav\n")
    with pytest.raises(ValueError, match="no format of sound that is known"):
        decode(tmp_path / "list.wav", 8000)


def test_what_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(decoding, "MOST_SAMPLES", 40_000)
    silence = encoded("flac", "flac", np.zeros(80_000), 8000)
    with pytest.raises(ValueError, match=r"it is longer than 0\.0 hours, and no more is read; cut it into pieces"):
        decode(silence, 8000)
    assert len(decode(silence, 8000, most=8000).samples) == 8000


def test_what_is_no_file_is_not_opened(tmp_path):
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "gone.wav", 8000)
    with pytest.raises(ValueError, match="a device"):
        decode(decoding.Path("/dev/null"), 8000)


# Headers and names


@pytest.mark.parametrize(("container", "codec", "rate"), FORMATS)
def test_headers_tell_how_long_it_is(container, codec, rate):
    assert abs(seconds(encoded(container, codec, tone(1000, 1.5, rate), rate)) - 1.5) < 0.1


@pytest.mark.parametrize("content", [b"", b"text", wav(X[:0]), wav(X, rate=0)])
def test_a_header_that_cannot_be_read_tells_nothing(content):
    assert seconds(content) == 0


def test_all_formats_are_built_in_and_no_suffix_is_a_pictures():
    import av

    assert not set(decoding.FORMATS.split()) - av.formats_available - {"mov", "matroska"}
    assert not SOUNDS & pictures.SUFFIXES
