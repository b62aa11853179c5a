"""The reader of folders of sound: layouts, windows, splits by recording, and what it says of odd files."""

import json

import numpy as np
import pytest
import torch

from ssl_models.datasets import folder, sound_folder
from ssl_models.datasets._sound import recordings
from ssl_models.datasets._sound.windows import Windows
from tests.ssl_models.sounds import FLOAT, as_int16, encoded, tone, wav

torch.set_num_threads(1)


def constant(path, value, seconds=1.0, rate=8000):
    """A recording of one value, by which its windows are known."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(wav(np.full(round(seconds * rate), value, np.int16), rate))


@pytest.fixture
def birds(tmp_path):
    """Two classes of five recordings of 0.5 to 2.5 s; the value of each tells its number."""
    for start, name in ((1, "owl"), (11, "tit")):
        for index in range(5):
            constant(tmp_path / name / f"{index}.wav", start + index, 0.5 + 0.5 * index)
    return tmp_path


def values(split):
    """The value of each window's first sample."""
    return split.parts["sound"][:, 0].tolist()


# Layouts


def test_windows_have_the_class_of_their_recording(birds):
    data = sound_folder.load(seed=0, source=str(birds))
    assert data.classes == ("owl", "tit")
    assert data.known == {"rate": 8000}
    assert sound_folder.KIND == "speech"
    for split in (data.train, data.test):
        assert {part: stored.dtype for part, stored in split.parts.items()} == {
            "sound": torch.int16,
            "length": torch.int32,
        }
        assert split.parts["sound"].shape == (len(split), 8000)
        assert split.parts["length"].shape == (len(split), 1)
        assert split.labels.tolist() == [int(value > 10) for value in values(split)]
        assert split.labels.dtype == torch.int64
    assert sorted(values(data.train) + values(data.test)) == sorted(
        [1, 2, 3, 3, 4, 4, 5, 5, 5, *[11, 12, 13, 13, 14, 14, 15, 15, 15]]
    )


@pytest.mark.parametrize("seed", range(5))
def test_no_recording_is_in_both_splits(birds, seed):
    data = sound_folder.load(seed=seed, source=str(birds), seconds=0.25, hop=0.1, test_fraction=0.4)
    assert not set(values(data.train)) & set(values(data.test))
    assert len(set(values(data.train))) == 6
    assert len(set(values(data.test))) == 4


def test_given_splits_are_kept(tmp_path):
    for name, value in (("train/a/1", 1), ("train/b/1", 2), ("test/b/9", 3), ("test/a/1", 4)):
        constant(tmp_path / f"{name}.wav", value)
    data = sound_folder.load(seed=0, source=str(tmp_path))
    assert (values(data.train), values(data.test)) == ([1, 2], [4, 3])
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 1], [0, 1])


def test_without_class_folders_there_are_no_labels(tmp_path):
    for index in range(5):
        constant(tmp_path / f"{index}.wav", index + 1)
    data = sound_folder.load(seed=0, source=str(tmp_path))
    assert data.classes == ()
    assert data.train.labels is None
    assert (len(data.train), len(data.test)) == (4, 1)


def test_formats_and_rates_are_mixed(tmp_path):
    for name, content in (
        ("0.WAV", wav(as_int16(tone(500, rate=44100)), 44100)),
        ("1.flac", encoded("flac", "flac", tone(500, rate=16000), 16000)),
        ("2.mp4", encoded("mp4", "aac", tone(500, rate=44100), 44100, video=True)),
        ("3.ogg", encoded("ogg", "libopus", tone(500, rate=48000), 48000)),
    ):
        (tmp_path / name).write_bytes(content)
    data = sound_folder.load(seed=0, source=str(tmp_path), rate=16000, seconds=0.5, most=1)
    for sound in torch.cat([data.train.parts["sound"], data.test.parts["sound"]]):
        assert abs(torch.fft.rfft(sound.float()).abs().argmax().item() * 2 - 500) <= 2
    assert data.skipped == ()


# Windows


def cut(samples, size, hop):
    """The rule, step by step: (start, end) of each window."""
    found, start, covered = [(0, min(size, samples))], hop, min(size, samples)
    while start + size <= samples:
        found.append((start, start + size))
        covered, start = start + size, start + hop
    if samples > size and samples > covered and samples - start >= size / 2:
        found.append((start, samples))
    return found


@pytest.mark.parametrize(("size", "hop"), [(8, 8), (8, 4), (8, 3), (8, 1), (8, 11), (7, 5), (1, 1)])
def test_windows_are_as_the_rule_says(size, hop):
    for samples in range(1, 40):
        assert Windows(size, hop).count(samples) == len(cut(samples, size, hop)), samples
        assert Windows(size, hop, most=2).count(samples) == min(2, len(cut(samples, size, hop)))


def test_windows_hold_what_lies_there_and_zeros_after_it(tmp_path):
    long = np.arange(1, 22_001, dtype=np.int16)  # 2.75 s
    for name in "ab":
        (tmp_path / f"{name}.wav").write_bytes(wav(long))
    data = sound_folder.load(seed=0, source=str(tmp_path), hop=0.75)
    sound, length = data.train.parts["sound"], data.train.parts["length"]
    assert length[:, 0].tolist() == [8000, 8000, 8000, 4000]
    for window, (start, end) in enumerate(cut(22_000, 8000, 6000)):
        assert sound[window, : end - start].tolist() == long[start:end].tolist()
        assert (sound[window, end - start :] == 0).all()


def test_a_short_recording_is_kept_and_a_short_rest_is_not(tmp_path):
    for index, seconds in enumerate((0.1, 0.1, 1.4, 1.4)):
        constant(tmp_path / "ab"[index // 2] / f"{index}.wav", index + 1, seconds)
    data = sound_folder.load(seed=0, source=str(tmp_path))
    assert data.train.parts["length"][:, 0].tolist() == [800, 8000]


def test_no_more_windows_are_taken_than_asked_for(birds):
    data = sound_folder.load(seed=0, source=str(birds), seconds=0.5, most=2)
    assert max(np.bincount(values(data.train))) == 2
    told = [note for note in data.notes if "longer than the 1 s that are read of each: " in note]
    assert told[0].startswith("6 recordings are longer")


@pytest.mark.parametrize(
    "settings",
    [{}, {"rate": 16000}, {"seconds": 0.3, "hop": 0.1}, {"most": 1}, {"most": 3, "seconds": 0.5}, {"hop": 2.0}],
)
def test_count_and_describe_say_what_load_gives(birds, settings):
    data = sound_folder.load(seed=0, source=str(birds), **settings)
    assert sound_folder.count(source=str(birds), seed=0, **settings) == (len(data.train), len(data.test))
    shapes, known = sound_folder.describe(source=str(birds), seed=0, **settings)
    assert shapes == {part: tuple(stored.shape[1:]) for part, stored in data.train.parts.items()}
    assert known == data.known


def test_of_many_recordings_some_headers_stand_for_all(tmp_path, monkeypatch):
    for index in range(20):
        constant(tmp_path / f"{index:02}.wav", 1, 3.0)
    looked_at, look = [], recordings.seconds
    monkeypatch.setattr(recordings, "MOST_HEADERS", 5)
    monkeypatch.setattr(recordings, "seconds", lambda content: (looked_at.append(content), look(content))[1])
    assert sound_folder.count(source=str(tmp_path)) == (16 * 3, 4 * 3)
    assert len(set(looked_at)) == 5 + 4


# Faults


def test_what_cannot_be_read_is_named_and_what_is_odd_is_noted(birds):
    (birds / "owl" / "page.mp3").write_text("<html>404</html>")
    (birds / "owl" / "nothing.wav").touch()
    (birds / "owl" / "notes.txt").touch()
    (birds / "tit" / "nan.wav").write_bytes(wav(np.array([np.nan], np.float32), form=FLOAT, bits=32))
    (birds / "tit" / "cut.wav").write_bytes(wav(np.full(8000, 9, np.int16))[:8044])
    constant(birds / "tit" / "silent1.wav", 0)
    constant(birds / "tit" / "silent2.wav", 0)
    data = sound_folder.load(seed=0, source=str(birds))
    assert sorted(data.skipped) == [
        "owl/nothing.wav: the file is empty",
        "owl/page.mp3: no format of sound that is known, or cut off before its sound",
        "tit/nan.wav: it holds NaN, which is no sound",
    ]
    assert sorted(data.notes) == [
        "1 file of .txt passed over: no suffix of a recording that is read",
        "1 recording is shorter than the header tells; what is there is read: tit/cut.wav (0.50 of 1.00 s)",
        "2 recordings are silent throughout, and kept: tit/silent1.wav (1.00 s), and 1 more",
    ]
    json.dumps([data.skipped, data.notes, data.known])


def test_what_cannot_be_read_is_refused_where_that_is_asked_for(birds):
    (birds / "owl" / "page.mp3").write_text("<html>404</html>")
    with pytest.raises(ValueError, match=r"owl/page\.mp3 cannot be read as sound: no format of sound"):
        sound_folder.load(seed=0, source=str(birds), unreadable="refuse")


def test_nothing_readable_names_the_folder_and_a_file(tmp_path):
    for index in range(4):
        (tmp_path / f"{index}.wav").write_text("no sound")
    with pytest.raises(ValueError, match=f"{tmp_path}: none of the 3 training recordings could be read; look at .*wav"):
        sound_folder.load(seed=0, source=str(tmp_path))


def test_errors_speak_of_recordings(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere' is not a folder; `source` must name a folder of recordings"):
        sound_folder.count(source=str(tmp_path / "nowhere"))
    (tmp_path / "picture.png").touch()
    with pytest.raises(ValueError, match=r"holds no recordings \(1 file of \.png passed over: .*suffix: \.3gp, "):
        sound_folder.count(source=str(tmp_path))
    constant(tmp_path / "1.wav", 1)
    with pytest.raises(ValueError, match="holds 1 recording: too few"):
        sound_folder.count(source=str(tmp_path))
    constant(tmp_path / "a" / "1.wav", 1)
    with pytest.raises(ValueError, match=r"mixes recordings \('1\.wav'\) with .* \('a/'\); put each recording"):
        sound_folder.count(source=str(tmp_path))
    with pytest.raises(ValueError, match=r"holds no images \(1 file of \.wav passed over: no suffix of a picture"):
        folder.count(source=str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 0}, "rate = 0 must be a whole number from 1,000 to 192,000 Hz"),
        ({"rate": 8000.5}, "rate = 8000.5"),
        ({"seconds": 0.0}, "seconds = 0.0 must lie between one sample and 600 seconds"),
        ({"seconds": float("nan")}, "seconds = nan"),
        ({"seconds": 1e9}, "seconds = 1000000000.0"),
        ({"hop": -1.0}, "hop = -1.0 must be at least one sample"),
        ({"hop": 1e-9}, "hop = 1e-09"),
        ({"most": -1}, "most = -1 must be at least 1, or 0 for all"),
        ({"test_fraction": 1.0}, "test_fraction = 1.0"),
        ({"unreadable": "ignore"}, "unreadable = 'ignore' must be skip or refuse"),
    ],
)
def test_settings_out_of_range_are_refused(birds, settings, message):
    for call in (lambda: sound_folder.load(seed=0, source=str(birds), **settings), lambda: counted(birds, settings)):
        with pytest.raises(ValueError, match=message):
            call()


def counted(source, settings):
    return sound_folder.count(source=str(source), **settings)
