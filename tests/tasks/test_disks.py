"""A disk that is full: recognised in whatever words it comes, and said in one sentence."""

import errno
import os
import subprocess
import tempfile
from pathlib import Path

import numpy
import pytest
import torch
from safetensors.torch import save_file

from tasks.process import disks
from tasks.process.files import whole_file, write_json

NUMBERS = torch.arange(100_000)


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk here")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def save_array(path):
    with open(path, "wb") as file:
        numpy.save(file, NUMBERS.numpy())


WRITERS = {
    "torch": lambda path: torch.save({"a": NUMBERS}, path),
    "safetensors": lambda path: save_file({"a": NUMBERS}, path),
    "numpy": save_array,
    "text": lambda path: Path(path).write_text("x" * 100_000),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_write_that_finds_no_room_is_recognised_and_leaves_nothing(small_disk, write):
    path = small_disk / "file"
    with pytest.raises(Exception) as caught, whole_file(path) as temporary:  # noqa: PT011
        write(temporary)
    assert disks.is_full(caught.value)
    assert list(small_disk.iterdir()) == []
    assert f"the disk that holds {small_disk} is full (0 MB free)" in disks.sentence(small_disk)


def test_the_fullest_disk_of_a_project_is_named(small_disk):
    root = small_disk.parent
    assert disks.sentence(root).startswith(f"the disk that holds {small_disk} is full")
    assert disks.sentence(root, OSError(errno.ENOSPC, "No space", str(root / "gone" / "file"))).startswith(
        f"the disk that holds {root} is full"
    )
    with pytest.raises(OSError, match="No space left"):
        disks.require_room(root, small_disk)
    disks.require_room(root, root)


SAID = {
    "system": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "quota": OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    "torch": RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 640 vs 598"),
    "torch's writer": RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed"),
    "sqlite": Exception("(sqlite3.OperationalError) database or disk is full [SQL: INSERT]"),
    "tempfile": FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
    "numpy": OSError("2000000 requested and 524256 written"),
}


@pytest.mark.parametrize("error", SAID.values(), ids=SAID)
def test_the_words_of_libraries_are_known(error):
    assert disks.is_full(error)
    wrapped = RuntimeError("the stage failed")
    wrapped.__cause__ = error
    assert disks.is_full(wrapped)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), RuntimeError("the batch is full"), None])
def test_no_other_error_is_taken_for_one(error):
    assert not disks.is_full(error)


def test_a_quota_is_told_from_a_disk(tmp_path):
    error = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), str(tmp_path / "file"))
    assert disks.sentence(tmp_path, error).startswith(f"your quota on the disk that holds {tmp_path} is used up")


def test_the_cache_is_where_dvc_is_told_to_have_it(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    root = tmp_path / "project"
    (root / ".dvc").mkdir(parents=True)
    (root / ".dvc" / "config.local").write_text(f"[core]\n    no_scm = true\n[cache]\n    dir = {elsewhere}\n")
    assert elsewhere in disks.of_project(root)
    (root / ".dvc" / "config").write_bytes(b"\xff[")
    assert root in disks.of_project(root)


def test_a_disk_without_room_for_a_temporary_file_is_named_too(tmp_path, monkeypatch):
    def nowhere():
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    assert disks.sentence(tmp_path).startswith(f"the disk that holds {tmp_path} is full")


def test_an_error_of_the_system_leaves_no_half_file(tmp_path, monkeypatch):
    write_json(tmp_path / "content.json", {"a": 1})

    def no_room(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_json(tmp_path / "content.json", {"a": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["content.json"]
    assert (tmp_path / "content.json").read_text() == '{\n "a": 1\n}\n'
