"""DVC is asked about the stages of which something has been touched since its last answer, and about no others."""

import os

import pytest
from dvc.utils.serialize import load_yaml

from tasks.staleness import dvc_internals, lock_file, pipeline, status
from tests.tasks import tiny

NAMES = list(tiny.STAGES)


@pytest.fixture
def root(tiny_copy):
    """The tiny project brought up to date, and of which DVC has said so."""
    assert stale(tiny_copy) == {}
    return tiny_copy


def stale(root):
    return status.stale(tiny.project(root), pipeline.resolved(root), NAMES)


@pytest.fixture
def asked(monkeypatch):
    """The names that DVC is asked about."""
    own, names = dvc_internals.status, []

    def ask(root, wanted):
        names.extend(wanted)
        return own(root, wanted)

    monkeypatch.setattr(dvc_internals, "status", ask)
    return names


def test_nothing_touched_asks_nobody(root, monkeypatch):
    def fail(*_):
        raise AssertionError("DVC was asked")

    monkeypatch.setattr(dvc_internals, "status", fail)
    monkeypatch.setattr(status, "_by_command", fail)
    assert stale(root) == {}


def touch(path):
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize(
    ("path", "concerned"),
    [("input.txt", ["prepare"]), ("copy.txt", ["prepare", "report"]), ("folder/both.txt", ["report"])],
)
def test_a_touched_file_has_its_stages_asked_about_once(root, asked, path, concerned):
    touch(root / path)
    assert stale(root) == {}
    assert asked == concerned
    assert stale(root) == {}
    assert asked == concerned


def test_what_dvc_calls_stale_is_asked_about_until_it_is_not(root, asked):
    before = (root / "input.txt").read_text()
    (root / "input.txt").write_text("edited\n")
    assert stale(root) == stale(root) == {"prepare": ["input.txt modified"]}
    assert asked == ["prepare", "prepare"]
    (root / "input.txt").write_text(before)
    assert stale(root) == stale(root) == {}
    assert asked == ["prepare", "prepare", "prepare"]


def test_an_edited_parameter_concerns_the_stage_that_names_it(root, asked):
    tiny.set_parameters(root, a={"b": [2]}, unused=1)
    assert stale(root) == {"prepare": ["params.yaml a.b modified"]}
    assert asked == ["prepare"]


def test_an_edited_hash_of_code_concerns_its_stage(root, asked):
    (root / "code.json").write_text('{"report": "4567", "prepare": "89ab"}\n')
    assert stale(root) == {"report": ["code.json report modified"]}
    assert asked == ["report"]


def test_another_command_concerns_its_stage(root, asked):
    path = root / "dvc.yaml"
    path.write_text(path.read_text().replace("cp input", "cp -f input"))
    assert stale(root) == {"prepare": ["changed command"]}
    assert asked == ["prepare"]


def test_another_entry_of_the_lock_concerns_its_stage(root, asked):
    path = root / "dvc.lock"
    entry = load_yaml(path)["stages"]["prepare"] | {"cmd": "cp other copy.txt"}
    lock_file.write(path, "prepare", entry)
    assert stale(root) == {"prepare": ["changed command"]}
    assert asked == ["prepare"]


def test_a_stage_that_the_lock_does_not_know_is_asked_about_each_time(root, asked):
    (root / "dvc.lock").unlink()
    assert set(stale(root)) == set(stale(root)) == set(NAMES)
    assert asked == NAMES * 2


@pytest.mark.parametrize("text", ["", "{"])
def test_a_torn_memory_asks_about_all(root, asked, text):
    (root / ".covey" / "fresh.json").write_text(text)
    assert stale(root) == {}
    assert asked == NAMES


def test_a_lock_that_is_odd_is_left_to_dvc_s_own_command(root, asked):
    path = root / "dvc.lock"
    path.write_text(f"# merged by hand\n{path.read_text()}")
    (root / "input.txt").write_text("edited\n")
    assert stale(root) == {"prepare": ["input.txt modified"]}
    assert asked == NAMES


def test_without_dvc_s_inside_its_own_command_says_the_same(root, asked, monkeypatch):
    (root / "input.txt").write_text("edited\n")
    tiny.set_parameters(root, c="other")
    found = stale(root)
    assert found == {"prepare": ["input.txt modified"], "report": ["params.yaml c modified"]}
    assert asked == NAMES
    monkeypatch.setattr(dvc_internals, "usable", lambda: False)
    assert stale(root) == found
    assert asked == NAMES
