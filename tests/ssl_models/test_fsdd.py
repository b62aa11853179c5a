"""The Free Spoken Digit Dataset: made-up recordings in each place, and the real archive where $COVEY_DATA has it."""

import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ssl_models.datasets import fsdd
from tests.ssl_models.sounds import wav

torch.set_num_threads(1)
REAL = os.environ.get("COVEY_DATA", "")


def recording(digit, speaker, number, seconds=0.1):
    """Whose value tells what it is."""
    return wav(np.full(round(8000 * seconds), 1000 * digit + 100 * len(speaker) + number, np.int16))


@pytest.fixture
def members():
    """Three digits, speakers "al" and "bob", numbers 3 to 10, out of order; and things that are no recordings."""
    names = [(digit, speaker, number) for number in (10, 3, 4, 5) for speaker in ("bob", "al") for digit in (7, 0, 3)]
    return {f"fsdd/recordings/{d}_{s}_{n}.wav": recording(d, s, n) for d, s, n in names} | {
        "fsdd/README.md": b"text",
        "fsdd/recordings/.hidden.wav": b"",
    }


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(tmp_path))
    return tmp_path


def write_tar(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def write_folder(path, members):
    for name, content in members.items():
        place = path / name.removeprefix("fsdd/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (write_tar, "fsdd.tar.gz"),
        (write_zip, "fsdd.zip"),
        (write_zip, "free-spoken-digit-dataset-master.zip"),
        (write_folder, "fsdd"),
    ],
)
def test_digits_and_speakers_are_told_by_the_names(data_folder, members, write, name):
    write(data_folder / name, members)
    data = fsdd.load(seed=0, source="ssl_models/datasets/fsdd.py")
    assert data.classes == ("0", "3", "7")
    assert data.label_sets == {"digit": ("0", "3", "7"), "speaker": ("al", "bob")}
    assert (len(data.train), len(data.test)) == fsdd.count() == (12, 12)
    assert data.known == {"rate": 8000}
    assert (data.skipped, data.notes) == ((), ())
    for split, numbers in ((data.train, (5, 10)), (data.test, (3, 4))):
        expected = [(d, s, n) for d in (0, 3, 7) for s in ("al", "bob") for n in numbers]
        assert split.parts["sound"].shape == (12, 8000)
        assert split.parts["sound"].dtype == torch.int16
        assert split.parts["sound"][:, 0].tolist() == [1000 * d + 100 * len(s) + n for d, s, n in expected]
        assert split.parts["length"].tolist() == [[800]] * 12
        assert split.labels.tolist() == [(0, 3, 7).index(d) for d, _, _ in expected]
        assert (split.truth["labels.digit"] == split.labels).all()
        assert split.truth["labels.speaker"].tolist() == [int(s == "bob") for _, s, _ in expected]
        assert split.truth["labels.speaker"].dtype == torch.int64


def test_a_given_folder_or_archive_is_taken_first(data_folder, members, tmp_path):
    write_tar(data_folder / "fsdd.tar.gz", members)
    few = {f"recordings/4_eve_{number}.wav": recording(4, "eve", number) for number in (0, 6)}
    write_folder(tmp_path / "given", few)
    write_zip(tmp_path / "given.zip", few)
    for source in (tmp_path / "given", tmp_path / "given" / "recordings", tmp_path / "given.zip"):
        assert fsdd.load(seed=0, source=str(source)).classes == ("4",)
        assert fsdd.count(source=str(source)) == (1, 1)


def test_what_lies_beyond_the_window_is_left_out_and_counted(data_folder, members):
    members["fsdd/recordings/0_al_12.wav"] = recording(0, "al", 12, 1.5)
    write_tar(data_folder / "fsdd.tar.gz", members)
    data = fsdd.load(seed=0)
    assert data.train.parts["length"].max() == 8000
    assert data.notes == ("1 recording is longer than the 1 s that are read of each: fsdd/recordings/0_al_12.wav",)
    assert fsdd.load(seed=0, seconds=1.5).notes == ()


def test_labels_stay_with_their_recordings_where_some_cannot_be_read(data_folder, members):
    members["fsdd/recordings/0_al_5.wav"] = b"no sound"
    members["fsdd/recordings/3_bob_3.wav"] = wav(np.zeros(0, np.int16))
    write_tar(data_folder / "fsdd.tar.gz", members)
    data = fsdd.load(seed=0)
    assert data.skipped == (
        "fsdd/recordings/0_al_5.wav: no format of sound that is known, or cut off before its sound",
        "fsdd/recordings/3_bob_3.wav: it holds no sound: 0 samples",
    )
    for split in (data.train, data.test):
        value = split.parts["sound"][:, 0].long()
        assert torch.equal(torch.tensor([0, 3, 7])[split.labels], value // 1000)
        assert torch.equal(split.truth["labels.speaker"] + 2, value % 1000 // 100)
    with pytest.raises(ValueError, match=r"0_al_5\.wav cannot be read as sound"):
        fsdd.load(seed=0, unreadable="refuse")


def test_names_that_do_not_fit_are_skipped_with_the_reason(data_folder, members):
    odd = ("0_al.wav", "zero_al_1.wav", "10_al_1.wav", "0_a_l_1.wav", "0_al_x.wav")
    members |= {f"fsdd/recordings/{name}": recording(0, "al", 1) for name in odd}
    members |= {"fsdd/recordings/0_al_05.wav": b"", "fsdd/recordings/index.csv": b""}
    write_tar(data_folder / "fsdd.tar.gz", members)
    data = fsdd.load(seed=0)
    assert sorted(data.skipped) == sorted(
        [
            "fsdd/recordings/0_al_05.wav: a second recording of that name, beside fsdd/recordings/0_al_5.wav",
            *(f"fsdd/recordings/{name}: its name is not DIGIT_SPEAKER_NUMBER.wav" for name in odd),
        ]
    )
    assert data.notes == ("1 file of .csv passed over: no suffix of a recording that is read",)
    assert fsdd.count() == (12, 12)


def test_a_folders_links_and_pipes_are_not_opened(data_folder, members):
    write_folder(data_folder / "fsdd", members)
    (data_folder / "fsdd/recordings/0_al_20.wav").symlink_to("nowhere.wav")
    os.mkfifo(data_folder / "fsdd/recordings/0_al_21.wav")
    data = fsdd.load(seed=0)
    assert data.skipped == (
        "recordings/0_al_20.wav: a link to nothing",
        "recordings/0_al_21.wav: a pipe, not a file",
    )


def test_what_only_the_test_split_has_is_refused(data_folder, members):
    write_tar(data_folder / "fsdd.tar.gz", members | {"fsdd/recordings/0_eve_1.wav": recording(0, "eve", 1)})
    with pytest.raises(ValueError, match=r"has the speaker eve in the test split only \(numbers below 5\)"):
        fsdd.load(seed=0)
    write_tar(data_folder / "fsdd.tar.gz", members | {"fsdd/recordings/9_al_1.wav": recording(9, "al", 1)})
    with pytest.raises(ValueError, match="has the digit 9 in the test split only"):
        fsdd.load(seed=0)


def test_without_both_splits_the_names_are_explained(tmp_path):
    write_folder(tmp_path / "given", {"0_al_1.wav": recording(0, "al", 1), "hello.wav": b""})
    with pytest.raises(ValueError, match=r"has 0 recordings .* for training .* and 1 for testing .*look at hello\.wav"):
        fsdd.count(source=str(tmp_path / "given"))


def test_where_it_is_missing_it_is_said_where_to_get_it(data_folder, monkeypatch):
    with pytest.raises(FileNotFoundError, match=rf"in \$COVEY_DATA \({data_folder}\)\. Get it from github\.com"):
        fsdd.count(source="ssl_models/datasets/fsdd.py")
    monkeypatch.delenv("COVEY_DATA")
    with pytest.raises(FileNotFoundError, match=r"\$COVEY_DATA \(not set\)"):
        fsdd.load(seed=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"rate": 5}, "rate = 5"), ({"seconds": -1.0}, "seconds = -1.0"), ({"unreadable": "no"}, "unreadable = 'no'")],
)
def test_settings_out_of_range_are_refused(data_folder, members, settings, message):
    write_tar(data_folder / "fsdd.tar.gz", members)
    for call in (lambda: fsdd.load(seed=0, **settings), lambda: fsdd.count(**settings)):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("settings", [{}, {"rate": 16000, "seconds": 0.25}])
def test_describe_says_what_load_gives(data_folder, members, settings):
    write_tar(data_folder / "fsdd.tar.gz", members)
    data = fsdd.load(seed=0, **settings)
    shapes, known = fsdd.describe(seed=0, source="", **settings)
    assert shapes == {part: tuple(stored.shape[1:]) for part, stored in data.train.parts.items()}
    assert known == data.known


@pytest.mark.skipif(not REAL or not (Path(REAL) / "fsdd.tar.gz").is_file(), reason="$COVEY_DATA has no fsdd.tar.gz")
def test_the_real_archive():
    data = fsdd.load(seed=0)
    assert (len(data.train), len(data.test)) == fsdd.count() == (900, 300)
    assert data.classes == tuple("0123456789")
    assert data.label_sets["speaker"] == ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
    assert data.test.labels.bincount().tolist() == [30] * 10
    assert data.test.truth["labels.speaker"].bincount().tolist() == [50] * 6
    assert data.skipped == ()
    assert [note.partition(":")[0] for note in data.notes] == [
        "8 recordings are longer than the 1 s that are read of each"
    ]
    lengths = torch.cat([data.train.parts["length"], data.test.parts["length"]]).float() / 8000
    assert 0.14 < lengths.min() < 0.15
    assert 0.41 < lengths.median() < 0.43
