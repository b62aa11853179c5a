"""What tells that a file has changed, without reading it."""

import os

import pytest

from tasks.process.files import read_json, stat_text, state_of, write_json


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "folder"
    (path / "inner").mkdir(parents=True)
    (path / "one").write_text("one")
    (path / "inner" / "two").write_text("two")
    return path


def edit(folder):
    (folder / "inner" / "two").write_text("longer")


def edit_in_place(folder):
    """The same length at the same time: only the time of change of the inode tells."""
    before = (folder / "one").stat()
    (folder / "one").write_text("eno")
    os.utime(folder / "one", ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(folder):
    """The same bytes, length and time in another file."""
    before = (folder / "one").stat()
    (folder / "new").write_text("one")
    os.utime(folder / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "new").rename(folder / "one")


def touch(folder):
    os.utime(folder / "inner" / "two")


def rename(folder):
    (folder / "one").rename(folder / "three")


def move(folder):
    (folder / "one").rename(folder / "inner" / "one")


def add(folder):
    (folder / "inner" / "three").touch()


def delete(folder):
    (folder / "one").unlink()


@pytest.mark.parametrize("change", [edit, edit_in_place, replace, touch, rename, move, add, delete])
def test_every_change_of_a_folder_is_another_state(folder, change):
    before = state_of(folder)
    assert state_of(folder) == before
    change(folder)
    assert state_of(folder) != before


def test_a_file_s_state_is_the_text_of_its_stat(folder):
    found = (folder / "one").stat()
    assert state_of(folder / "one") == stat_text(found)
    assert stat_text(found).split(".")[1:3] == [str(found.st_mtime_ns), str(found.st_ctime_ns)]


def test_a_file_has_a_state_of_its_own(folder):
    states = {path: state_of(path) for path in (folder / "one", folder / "inner" / "two")}
    edit(folder)
    changed = {path.name for path, state in states.items() if state_of(path) != state}
    assert changed == {"two"}


def test_compiled_python_and_reading_change_nothing(folder):
    before = state_of(folder)
    (folder / "inner" / "__pycache__").mkdir()
    (folder / "inner" / "__pycache__" / "two.pyc").write_text("compiled")
    (folder / "one").read_text()
    assert state_of(folder) == before


def test_nothing_is_missing_and_so_is_a_link_to_nothing(tmp_path):
    assert state_of(tmp_path / "absent") == "missing"
    (tmp_path / "link").symlink_to(tmp_path / "absent")
    assert state_of(tmp_path / "link") == "missing"
    assert state_of(tmp_path) == "link/missing"
    (tmp_path / "absent").touch()
    assert "missing" not in state_of(tmp_path)


def test_json_goes_and_comes_and_has_no_nan(tmp_path):
    path = tmp_path / "new" / "content.json"
    write_json(path, {"a": [1, None, "ü"]})
    assert read_json(path) == {"a": [1, None, "ü"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": [1, None, "ü"]}
    assert [entry.name for entry in path.parent.iterdir()] == ["content.json"]
