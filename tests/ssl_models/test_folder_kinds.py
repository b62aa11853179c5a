"""What lies in folders besides plain files: links, circles, pipes, sockets, names that are not UTF-8."""

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from ssl_models.datasets import folder, voc
from ssl_models.datasets._common import files
from ssl_models.datasets._common.split import OTHER, LeftOut
from tests.ssl_models.pictures import shown
from tests.ssl_models.test_folder import plain
from tests.ssl_models.test_voc import layout, write


@pytest.fixture
def photos(tmp_path):
    """Two classes of four pictures."""
    for name in "ab":
        for index in range(4):
            plain(tmp_path / "photos" / name / f"{index}.png")
    return tmp_path / "photos"


def reads(photos):
    """The data set, whose whole pictures are all there, and whose texts can be written to JSON."""
    data = folder.load(seed=0, source=str(photos), store=1.0, size=8)
    assert (len(data.train), len(data.test)) == folder.count(source=str(photos)) == (6, 2)
    json.dumps([data.skipped, data.notes], ensure_ascii=False).encode()
    return data


def test_links_to_nothing_pipes_sockets_and_circles_are_never_opened_and_named(photos, monkeypatch):
    (photos / "a" / "gone.png").symlink_to("/nowhere/x.png")
    (photos / "a" / "self.png").symlink_to("self.png")
    (photos / "a" / "class").symlink_to("../store/class")
    os.mkfifo(photos / "a" / "pipe.png")  # opening it would wait for a writer
    monkeypatch.chdir(photos / "a")  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        data = reads(photos)
    assert data.skipped == (
        "a/class: a link to nothing",
        "a/gone.png: a link to nothing",
        "a/pipe.png: a pipe, not a file",
        "a/self.png: a circle of links",
        "a/socket.png: a socket, not a file",
    )


def test_devices_are_not_opened():
    assert files.fault("/dev/null") == "a device, not a file"
    with pytest.raises(ValueError, match="a device"):
        shown(Path("/dev/null"), 8)


def test_names_that_are_not_utf_8_are_printed_with_their_bytes(photos):
    plain(photos / "a" / "x.png")
    os.rename(photos / "a" / "x.png", os.fsencode(photos / "a") + b"/caf\xe9.png")
    os.mkdir(os.fsencode(photos) + b"/na\xefve")
    assert reads(photos).skipped == ("na\\xefve: its name is not UTF-8", "a/caf\\xe9.png: its name is not UTF-8")


def test_a_name_with_a_line_break_stays_on_its_line(photos):
    (photos / "a" / "x\ny.png").write_text("no image")
    data = folder.load(seed=0, source=str(photos), store=1.0, size=8)
    assert data.skipped == ("a/x\\ny.png: no format of pictures that is known",)


def test_files_and_folders_without_permission_are_named(photos, monkeypatch):
    plain(photos / "a" / "secret.png")
    plain(photos / "c" / "1.png")
    allowed = os.access
    locked = {str(photos / "a" / "secret.png"), str(photos / "c")}
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) not in locked and allowed(path, mode))
    data = folder.load(seed=0, source=str(photos), store=1.0, size=8)
    assert folder.count(source=str(photos)) == (7, 2)  # a plain file's permission is asked for when it is opened
    assert (len(data.train), len(data.test)) == (6, 2)
    assert data.skipped == ("c: no permission to read it", "a/secret.png: no permission to read it")


def test_links_to_folders_and_files_are_followed(photos, tmp_path):
    shutil.move(photos / "b", tmp_path / "store")
    (photos / "b").symlink_to("../store")
    plain(tmp_path / "one.png")
    (photos / "a" / "3.png").unlink()
    (photos / "a" / "3.png").symlink_to(tmp_path / "one.png")
    assert reads(photos).skipped == ()


@pytest.mark.parametrize("target", [".", "..", "/", "../.."])
def test_a_link_to_a_folder_that_it_lies_in_is_a_circle(photos, target):
    (photos / "a" / "loop").symlink_to(target)
    assert reads(photos).skipped == ("a/loop: a circle of links: it leads to a folder that it lies in",)


def test_a_circle_by_way_of_a_folder_elsewhere_ends(photos, tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "back").symlink_to("../..")
    (photos / "a" / "far").symlink_to(tmp_path / "far")
    assert reads(photos).skipped == ("a/far/deep/back: a circle of links: it leads to a folder that it lies in",)


def test_what_cannot_be_read_is_refused_where_that_is_asked_for(photos):
    (photos / "a" / "gone.png").symlink_to("/nowhere/x.png")
    with pytest.raises(ValueError, match=r"photos: a/gone\.png: a link to nothing"):
        folder.load(seed=0, source=str(photos), store=1.0, unreadable="refuse")


def test_suffixes_that_are_not_read_are_counted_also_where_a_class_is_lost_by_it(photos):
    for name in ("c/1.MOV", "c/2.mov", "a/labels.csv", "a/README"):
        (photos / name).parent.mkdir(exist_ok=True)
        (photos / name).touch()
    data = reads(photos)
    assert data.notes == ("the folder c/ holds no images",)
    reason = "no suffix of a picture that is read"
    assert data.left_out == (
        LeftOut("", reason, 1, "a/README", OTHER),
        LeftOut(".csv", reason, 1, "a/labels.csv", OTHER),
        LeftOut(".mov", reason, 2, "c/1.MOV", OTHER),
    )


def test_an_error_says_what_was_there_instead(tmp_path):
    (tmp_path / "1.mov").touch()
    with pytest.raises(ValueError, match=r"holds no images \(1 file of \.mov passed over: no suffix"):
        folder.count(source=str(tmp_path))


def test_a_test_split_that_is_not_read_is_told(photos):
    for split in ("train", "test", "val"):
        plain(photos / "given" / split / "a" / "1.png")
    data = folder.load(seed=0, source=str(photos / "given"), store=1.0, size=8)
    assert data.notes == ("the folder val/ passed over: test/ is the test split",)


def test_a_pipe_among_vocs_files_is_not_opened(tmp_path):
    source = write(tmp_path / "voc", layout(["a", "b", "c", "d"], train=["a", "c", "d"], test=["b"]))
    for name in ("JPEGImages/c.png", "Annotations/d.xml"):
        (tmp_path / "voc" / name).unlink()
    os.mkfifo(tmp_path / "voc/JPEGImages/c.png")
    (tmp_path / "voc/Annotations/d.xml").symlink_to("nowhere")
    data = voc.load(seed=0, source=source, size=8)
    assert data.skipped == ("Annotations/c.xml: a pipe, not a file", "Annotations/d.xml: a link to nothing")
