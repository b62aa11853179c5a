"""The readers of folders of numbered pictures: order, gaps, layouts, archives, and what they say of odd folders."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from ssl_models.datasets import frame_folders
from ssl_models.datasets._video import cutting, numbered
from ssl_models.datasets._video.numbered import GAPS, MIXED
from tests.ssl_models.videos import numbers

torch.set_num_threads(1)
SMALL = {"size": 16, "frames": 4, "tracks": 0}


def picture(number, size=(24, 16), form="PNG"):
    """Bytes of a picture whose grey tells its number."""
    stream = io.BytesIO()
    Image.new("RGB", size, (20 + 4 * number,) * 3).save(stream, form)
    return stream.getvalue()


def sequence(name, order, pattern="{:05d}.png"):
    """Name -> content of the pictures of these numbers."""
    return {f"{name}/{pattern.format(number)}": picture(number) for number in order}


def write(place, content):
    for name, data in content.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(data)
    return place


def load(source, **settings):
    return frame_folders.load(seed=0, source=str(source), **{**SMALL, **settings})


def of(data, name):
    """The numbers of the frames of each clip of a sequence, in either split."""
    for split in (data.train, data.test):
        if rows := [row for row, group in enumerate(split.origin.groups) if group == name]:
            return numbers(split.parts["frames"][rows]).tolist()
    return []


TWO = sequence("bear", range(9)) | sequence("swan", range(12))


def test_each_folder_is_a_video(tmp_path):
    data = load(write(tmp_path, TWO))
    assert of(data, "bear") == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert of(data, "swan") == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    assert (data.known, data.classes, data.skipped, data.notes) == ({"fps": 24.0}, (), (), ())
    assert frame_folders.KIND == "video"
    assert not set(data.train.origin.groups) & set(data.test.origin.groups)
    assert data.train.parts["source"].tolist() == [[0]] * len(data.train)
    assert set(data.train.origin.files + data.test.origin.files) > {"bear/00000.png", "bear/00004.png"}
    assert data.train.origin.sizes[0].tolist() == [24, 16]


@pytest.mark.parametrize(
    "settings", [{}, {"every": 2}, {"hop": 1 / 24, "most": 3}, {"frames": 3, "fps": 5.0, "hop": 0.4}]
)
def test_counts_and_shapes_are_told_without_opening_a_picture(tmp_path, settings, monkeypatch):
    write(tmp_path, TWO | sequence("gap", [0, 1, 2, 5, 6, 7, 8, 9, 10, 11]))
    data = load(tmp_path, **settings)
    monkeypatch.setattr(numbered, "square", lambda *_: pytest.fail("opened"))
    settings = {**SMALL, **settings}
    assert frame_folders.count(source=str(tmp_path), seed=0, **settings) == (len(data.train), len(data.test))
    shapes, known = frame_folders.describe(source=str(tmp_path), seed=0, **settings)
    assert list(shapes) == list(data.train.parts)
    assert shapes == {part: tuple(stored.shape[1:]) for part, stored in data.train.parts.items()}
    assert known == data.known


@pytest.mark.parametrize("pattern", ["frame{}.png", "{}.png", "cam2_{}_x.png", "img-{:03d}.png"])
def test_pictures_are_in_the_order_of_their_numbers(tmp_path, pattern):
    write(tmp_path, sequence("a", range(8, 12), pattern) | sequence("b", range(8, 12), pattern))
    assert of(load(tmp_path), "a") == [[8, 9, 10, 11]]


def test_no_clip_spans_a_gap_and_numbers_may_go_in_steps(tmp_path):
    gaps = sequence("gaps", [0, 1, 2, 3, 4, 7, 8, 9, 10, 12])
    data = load(write(tmp_path, gaps | sequence("steps", range(0, 40, 5)) | sequence("whole", range(4))))
    assert of(data, "gaps") == [[0, 1, 2, 3], [7, 8, 9, 10]]
    assert of(data, "steps") == [[0, 5, 10, 15], [20, 25, 30, 35]]
    assert data.notes == (f"1 video is {GAPS}: gaps (2 of them, the first behind gaps/00004.png)",)


def test_every_so_many_are_frames_of_a_lower_rate(tmp_path):
    data = load(write(tmp_path, TWO), every=2, fps=30.0)
    assert of(data, "bear") == [[0, 2, 4, 6]]
    assert data.known == {"fps": 15.0}


def test_classes_and_splits_of_folders(tmp_path):
    classes = {f"{act}/{name}": None for act in ("jump", "run") for name in ("a", "b", "c")}
    content = {}
    for name in classes:
        content |= sequence(name, range(4))
    data = load(write(tmp_path / "classes", content))
    assert (data.classes, len(data.train), len(data.test)) == (("jump", "run"), 4, 2)
    assert data.train.labels.tolist() == [int(group.startswith("run")) for group in data.train.origin.groups]
    both = {f"train/{name}": data for name, data in content.items()} | {f"val/{n}": data for n, data in content.items()}
    data = load(write(tmp_path / "splits", both))
    assert (data.classes, len(data.train), len(data.test)) == (("jump", "run"), 6, 6)
    bare = {f"{split}/{name}": data for split in ("train", "test", "val") for name, data in TWO.items()}
    data = load(write(tmp_path / "bare", bare))
    assert (data.classes, len(data.train), len(data.test)) == ((), 5, 5)
    assert data.notes == ("the folder val/ passed over: test/ is the test split",)


def test_numbers_that_are_milliseconds_go_up_by_nearly_the_same(tmp_path):
    content = sequence("thirty", [round(index * 1000 / 30) for index in range(8)])
    content |= sequence("gap", [round(index * 1000 / 30) for index in (0, 1, 2, 3, 5, 6, 7, 8)])
    data = load(write(tmp_path, content | sequence("ones", [0, 1, 2, 3, 5, 6, 7, 8])), hop=1 / 24)
    names = [name for split in (data.train, data.test) for name in split.origin.files]
    assert sorted(names) == [
        *(f"gap/{number:05d}.png" for number in (0, 167)),
        *(f"ones/{number:05d}.png" for number in (0, 5)),
        *(f"thirty/{number:05d}.png" for number in (0, 33, 67, 100, 133)),
    ]


@pytest.mark.parametrize(("settings", "number"), [({"most": 1}, 4), ({"most": 1, "every": 2}, 4), ({"most": 2}, 8)])
def test_no_more_pictures_are_opened_than_are_wanted(tmp_path, monkeypatch, settings, number):
    opened, square = [], numbered.square
    monkeypatch.setattr(numbered, "square", lambda *given: opened.append(given) or square(*given))
    data = load(write(tmp_path, sequence("a", range(20)) | sequence("b", range(20))), **settings)
    assert len(data.train) == len(data.test) == settings["most"]
    assert len(opened) == 2 * number


@pytest.mark.parametrize("settings", [{}, {"hop": 1 / 24}, {"hop": 0.5, "most": 2}])
def test_long_sequences_are_taken_in_pieces(tmp_path, monkeypatch, settings):
    content = sequence("a", [*range(30), *range(33, 50)]) | sequence("b", range(40))
    whole = load(write(tmp_path, content), **settings)
    monkeypatch.setattr(cutting, "PIECE", 5 * 3 * 16 * 16)
    found = load(tmp_path, **settings)
    assert found.notes == whole.notes
    for ours, theirs in ((found.train, whole.train), (found.test, whole.test)):
        assert ours.origin.files == theirs.origin.files
        assert all(torch.equal(part, theirs.parts[name]) for name, part in ours.parts.items())


# Faults


def test_odd_pictures_are_named_and_noted(tmp_path):
    content = TWO | sequence("one", [3]) | sequence("few", range(3)) | sequence("broken", range(12))
    content["broken/00005.png"] = b"no picture"
    content |= {"swan/cover.png": picture(0), "swan/00003.bmp": picture(3, form="BMP"), "swan/notes.txt": b""}
    content["mixed/0.png"] = picture(0, (16, 24))
    content |= {f"mixed/{number}.png": picture(number) for number in range(1, 4)}
    deep = io.BytesIO()
    Image.fromarray(np.full((16, 16), 900, np.uint16)).save(deep, "PNG")
    content["swan/00011.png"] = deep.getvalue()
    data = load(write(tmp_path, content))
    assert sorted(data.skipped) == [
        "broken/00005.png: no format of pictures that is known",
        "few: too short: 3 frames can be taken, and a clip takes 4; lower `frames`",
        "one: too short: 1 frame can be taken, and a clip takes 4; lower `frames`",
        "swan/00003.png: a second picture of number 3, beside swan/00003.bmp",
        "swan/00011.png: greys of over 8 bits, or floating-point numbers; frames are read from pictures of 8 bits",
        "swan/cover.png: no number in its name, so its place among the frames is unknown",
    ]
    assert of(data, "broken") == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert of(data, "swan") == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert of(data, "mixed") == [[0, 1, 2, 3]]
    assert data.notes == (
        "1 file of .txt passed over: no suffix of a picture that is read",
        f"1 video is {MIXED}: mixed (2 sizes)",
    )
    with pytest.raises(ValueError, match=r"swan/cover\.png: no number"):
        load(tmp_path, unreadable="refuse")
    for name in ("swan/cover.png", "swan/00003.bmp"):
        (tmp_path / name).unlink()
    with pytest.raises(ValueError, match=r"broken/00005\.png: no format of pictures that is known"):
        load(tmp_path, unreadable="refuse")


def test_gaps_leave_too_little(tmp_path):
    data = load(write(tmp_path, TWO | sequence("gaps", [0, 1, 2, 5, 6, 7])))
    assert data.skipped == (
        "gaps: too short: 6 frames can be taken, at most 3 of them without a gap, and a clip takes 4; lower `frames`",
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png", "b/1.txt"], "holds 1 video as folders of pictures: too few for two splits"),
        (["1.png", "2.png"], "holds only pictures, of one video; the folder of each video must hold its pictures"),
        (["1.png", "a/2.png"], "holds pictures beside folders of pictures; the folder of each"),
        (["notes.txt"], r"holds no pictures \(1 file of \.txt passed over"),
        (["a/1.png", "b/c/1.png"], r"holds pictures at several depths, or too deep \('a/', 'b/c/'\)"),
        (["x/y/a/1.png", "z/y/b/1.png"], r"several depths, or too deep \('x/y/a/'"),
        (["train/a/1.png", "test/b/1.png", "more/c/1.png"], "holds the folder 'more' next to train/ and test/"),
        (["train/x/a/1.png", "train/z/a/1.png", "val/y/a/1.png"], "has the class 'y' in its test split, and no video"),
    ],
)
def test_layouts_that_are_none_are_refused(tmp_path, names, message):
    write(tmp_path, {name: picture(1) if name.endswith("png") else b"" for name in names})
    with pytest.raises(ValueError, match=message):
        frame_folders.count(source=str(tmp_path))


def test_no_place_no_clip_and_settings_out_of_range_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere' is neither a folder nor an archive \(\.tar\.gz, "):
        frame_folders.count(source=str(tmp_path / "nowhere"))
    write(tmp_path, sequence("a", range(3)) | sequence("b", range(3)))
    with pytest.raises(ValueError, match=r"none of the 1 training videos gives a clip; look at [ab]: too short"):
        load(tmp_path)
    for settings, message in (
        ({"every": 0}, "every = 0 must be"),
        ({"fps": -1.0}, "fps = -1.0"),
        ({"size": 0}, "size"),
    ):
        with pytest.raises(ValueError, match=message):
            load(tmp_path, **settings)
