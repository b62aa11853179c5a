"""The hash of a data set's source changes with every file that a reader could take, and no kind of file stops it."""

import os
import sqlite3
import time
from contextlib import closing

import pytest

from tasks.project.project import Project
from tasks.settings import readers
from tasks.staleness import known_hashes, source_files


def block(source):
    """Of a reader that makes no list of its own."""
    return {"name": "own", "reader": "voc", "source": str(source)}


def fingerprint(project, source):
    return source_files.fingerprint(project, block(source))


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture
def photos(tmp_path):
    for name in ("a/1.png", "a/2.png", "b/1.png"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "photos"


def kept(project):
    with closing(sqlite3.connect(project.state / known_hashes.HASHES)) as database:
        return database.execute("SELECT count(*) FROM files").fetchone()[0]


def test_a_name_and_a_content_change_it_and_times_and_hidden_files_do_not(project, photos):
    def now():
        return fingerprint(project, photos)

    first = now()
    os.utime(photos / "a/1.png", (1, 1))
    (photos / ".DS_Store").write_text("x")
    (photos / ".git").mkdir()
    (photos / ".git" / "HEAD").write_text("x")
    assert now() == first
    (photos / "a/1.png").write_bytes(b"other")
    second = now()
    (photos / "a/1.png").rename(photos / "a/3.png")
    third = now()
    (photos / "b/1.png").unlink()
    assert len({first, second, third, now(), fingerprint(project, photos / "a/3.png")}) == 5
    assert fingerprint(project, photos / "none") == fingerprint(project, photos / "nothing")


def test_links_to_folders_and_files_are_followed(project, photos, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "a").symlink_to(photos / "a")
    (linked / "b").symlink_to(photos / "b")
    assert fingerprint(project, linked) == fingerprint(project, photos)
    state = source_files.state(project, block(linked))
    (photos / "a" / "new.png").write_bytes(b"new")
    assert source_files.state(project, block(linked)) != state
    assert fingerprint(project, linked) == fingerprint(project, photos)


def test_odd_files_are_listed_and_not_opened(project, photos):
    first = fingerprint(project, photos)
    (photos / "a" / "gone.png").symlink_to("/nowhere/x.png")
    os.mkfifo(photos / "a" / "pipe.png")
    (photos / "a" / "up").symlink_to(photos)
    (photos / "a" / "everything").symlink_to("/")
    (photos / "a" / "round").symlink_to(photos / "a" / "round")
    os.rename(os.fsencode(photos / "a/1.png"), os.fsencode(photos / "a") + b"/caf\xe9.png")
    (photos / ".dvcignore").write_text("*")
    listed = {entry.name: entry.state for entry in source_files.listed(project.root, block(photos))}
    assert listed[b"a/gone.png"] == source_files.MISSING
    assert listed[b"a/pipe.png"] == source_files.SPECIAL
    assert listed[b"a/up"] == listed[b"a/round"] == listed[b"a/everything"] == source_files.CIRCLE
    assert b"a/caf\xe9.png" in listed
    assert fingerprint(project, photos) != first


def test_a_file_that_has_not_been_touched_is_not_read_again(project, photos, monkeypatch):
    long_ago = time.time_ns() - 10**11
    first = fingerprint(project, photos)
    assert kept(project) == 0  # changed a moment ago: it could change unseen
    monkeypatch.setattr(known_hashes, "_OLDEST_TRUSTED", -(10**12))
    assert fingerprint(project, photos) == first
    monkeypatch.setattr(known_hashes.hashlib, "file_digest", None)
    assert fingerprint(project, photos) == first
    os.utime(photos / "a/1.png", ns=(long_ago, long_ago))
    with pytest.raises(TypeError):
        fingerprint(project, photos)


@pytest.mark.parametrize("content", [b"", b"no database", None])
def test_a_damaged_memory_is_made_again(project, photos, monkeypatch, content):
    monkeypatch.setattr(known_hashes, "_OLDEST_TRUSTED", -(10**12))
    first = fingerprint(project, photos)
    path = project.state / known_hashes.HASHES
    path.write_bytes(path.read_bytes()[:3000] if content is None else content)
    assert fingerprint(project, photos) == first
    assert fingerprint(project, photos) == first
    assert kept(project) == 3


def test_the_list_is_the_readers_own_where_it_makes_one(project, photos, monkeypatch):
    def files(_root, _block):
        yield "a/1.png", photos / "a/1.png"
        yield "pipe.png: a pipe, not a file", None

    monkeypatch.setattr(readers, "states", lambda _block, function: function == "files")
    monkeypatch.setattr(readers, "files", files)
    first = fingerprint(project, photos)
    (photos / "b/1.png").write_bytes(b"not in the list")
    assert fingerprint(project, photos) == first
    (photos / "a/1.png").write_bytes(b"other")
    assert fingerprint(project, photos) != first

    def broken(_root, _block):
        raise ValueError("labels.csv has no column 'file'")

    monkeypatch.setattr(readers, "files", broken)  # the reader tells it, when it reads
    (only,) = source_files.listed(project.root, block(photos))
    assert (only.name, only.state) == (b"ValueError: labels.csv has no column 'file'", source_files.NAMED)


def test_a_large_source_is_not_listed_again_until_a_folder_changes_or_an_hour_is_over(project, photos, monkeypatch):
    monkeypatch.setattr(source_files, "LARGE", 3)
    first, state = fingerprint(project, photos), source_files.state(project, block(photos))
    monkeypatch.setattr(source_files, "listed", None)
    assert (fingerprint(project, photos), source_files.state(project, block(photos))) == (first, state)
    monkeypatch.undo()
    monkeypatch.setattr(source_files, "LARGE", 3)
    (photos / "a/1.png").write_bytes(b"in place")
    assert fingerprint(project, photos) == first
    thorough = source_files.fingerprint(project, block(photos), thorough=True)
    assert thorough != first
    assert fingerprint(project, photos) == thorough
    (photos / "b/2.png").write_bytes(b"new")
    assert fingerprint(project, photos) not in (first, thorough)
    second = fingerprint(project, photos)
    (photos / "a/1.png").write_bytes(b"in place again")
    monkeypatch.setattr(source_files, "TRUSTED", 0)
    assert fingerprint(project, photos) != second


@pytest.mark.parametrize("reader", ["folder", "picture_list", "voc"])
def test_a_table_a_list_and_a_folder_that_held_no_file_are_looked_at_every_time(project, photos, monkeypatch, reader):
    (photos / "a" / "empty" / "deep").mkdir(parents=True)
    (photos / "a" / "up").symlink_to(photos)
    (photos / "a" / "self").symlink_to("self")
    table, names = photos.parent / "labels.csv", photos.parent / "list.txt"
    table.write_text("file,label\n")
    names.write_text("\n".join(str(path) for path in sorted(photos.rglob("*.png"))))
    own = {"name": "own", "reader": reader, "source": str(names if reader == "picture_list" else photos)}
    own |= {} if reader == "voc" else {"labels": str(table)}
    monkeypatch.setattr(source_files, "LARGE", 3)
    found = [source_files.fingerprint(project, own)]
    (photos.parent / "beside.txt").touch()
    with monkeypatch.context() as patch:
        patch.setattr(source_files, "listed", None)
        assert source_files.fingerprint(project, own) == found[0]
    if reader != "voc":
        table.write_text("file,label\n1,2\n")
        found.append(source_files.fingerprint(project, own))
    if reader == "picture_list":
        names.write_text(f"{names.read_text()}\n")
    else:
        (photos / "a" / "empty" / "deep" / "1.png").touch()
    found.append(source_files.fingerprint(project, own))
    assert len(set(found)) == len(found)


def test_a_well_known_set_is_hashed_where_it_is_read_and_its_new_folders_are_seen(project, photos, monkeypatch):
    monkeypatch.setenv("COVEY_DATA", str(photos.parent))
    for name in ("train/b/1.JPEG", "val/a/1.JPEG"):
        (photos / name).parent.mkdir(parents=True)
        (photos / name).write_bytes(name.encode())
    photos.rename(photos.parent / "imagenet")
    own = {"name": "own", "reader": "imagenet", "source": "ssl_models/datasets/imagenet.py"}
    monkeypatch.setattr(source_files, "LARGE", 2)
    found = [source_files.fingerprint(project, own)]
    (photos.parent / "imagenet" / "val" / "c").mkdir()
    (photos.parent / "imagenet" / "val" / "c" / "1.JPEG").touch()
    found.append(source_files.fingerprint(project, own))
    monkeypatch.setenv("COVEY_DATA", str(photos.parent / "nowhere"))
    found.append(source_files.fingerprint(project, own))
    assert len(set(found)) == 3
