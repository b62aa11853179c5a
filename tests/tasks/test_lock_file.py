"""dvc.lock by single entries: what is not asked for is neither parsed nor changed by a byte."""

import pytest
from dvc.utils.serialize import dumps_yaml, parse_yaml

from tasks.settings.schema import ParameterError
from tasks.staleness import lock_file
from tasks.staleness.lock_file import OddLockFile

ENTRIES = {
    "prepare": {"cmd": "python -m tasks prepare", "outs": [{"path": "data/world", "size": 3}]},
    "pretrain@rotation": {
        "cmd": "a: b",
        "params": {"params.yaml": {"pretrain.rotation": {"method": "rotation", "layers": [3, 5], "none": None}}},
    },
    "cluster@long": {"cmd": "python -m tasks " + " ".join(f"word{number}" for number in range(40))},
    "report": {"cmd": "first\n\nthird", "outs": [{"path": "it's", "hash": "md5", "md5": "1e5"}]},
}
TEXT = dumps_yaml({"schema": "2.0", "stages": ENTRIES})


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "dvc.lock"
    path.write_text(TEXT)
    return path


def spans(text):
    """Stage -> its bytes in the file, name and all, found by the names of all stages."""
    starts = sorted((text.index(f"  {name}:\n"), name) for name in parse_yaml(text, "")["stages"])
    ends = [*(start for start, _ in starts[1:]), len(text)]
    return {name: text[start:end] for (start, name), end in zip(starts, ends, strict=True)}


def test_the_form_that_dvc_writes_is_the_form_that_is_read(lock):
    assert TEXT.startswith(lock_file.HEAD)
    assert {name: f"  {name}:\n{body}" for name, body in lock_file.entry_texts(lock).items()} == spans(TEXT)


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_found_and_reads_as_in_the_whole(lock, name):
    found = lock_file.read(lock, [name, "absent"])
    assert found.keys() == {name}
    assert parse_yaml(found[name], "") == {name: ENTRIES[name]}


def test_no_file_has_no_entries(tmp_path):
    assert lock_file.read(tmp_path / "dvc.lock", ["prepare"]) == {}
    assert lock_file.entry_texts(tmp_path / "dvc.lock") == {}


def test_an_entry_is_taken_out_and_the_file_goes_with_the_last(lock):
    left = dict(ENTRIES)
    for name in ENTRIES:
        del left[name]
        lock_file.remove(lock, name)
        lock_file.remove(lock, "absent")
        if left:
            assert lock.read_text() == dumps_yaml({"schema": "2.0", "stages": left})
    assert not lock.exists()


@pytest.mark.parametrize("name", ENTRIES)
def test_a_write_replaces_the_bytes_of_its_entry_and_no_others(lock, name):
    lock_file.write(lock, name, {"cmd": "other", "outs": [{"path": "x", "nfiles": 7}]})
    before, after = spans(TEXT), spans(lock.read_text())
    assert list(after) == list(before)
    assert {other for other in before if after[other] != before[other]} == {name}
    assert parse_yaml(lock.read_text(), "")["stages"][name] == {"cmd": "other", "outs": [{"path": "x", "nfiles": 7}]}


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_is_written_as_dvc_writes_it(lock, name):
    lock_file.write(lock, name, {"cmd": "other"})
    lock_file.write(lock, name, ENTRIES[name])
    assert lock.read_text() == TEXT


def test_the_same_entry_does_not_touch_the_file(lock):
    before = lock.stat()
    lock_file.write(lock, "report", ENTRIES["report"])
    assert (lock.stat().st_ino, lock.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_new_entry_comes_last_and_into_a_new_file_too(lock, tmp_path):
    lock_file.write(lock, "pretrain@rotation_2", {"cmd": "new"})
    assert lock.read_text() == TEXT + "  pretrain@rotation_2:\n    cmd: new\n"
    first = tmp_path / "other" / "dvc.lock"
    for name, entry in ENTRIES.items():
        lock_file.write(first, name, entry)
    assert first.read_text() == TEXT


def test_one_object_in_two_places_is_written_twice_and_without_anchors(lock):
    shared = {"method": "rotation", "layers": [1, 2]}
    lock_file.write(lock, "prepare", {"cmd": "x", "params": {"params.yaml": {"one": shared, "other": shared}}})
    text = lock_file.read(lock, ["prepare"])["prepare"]
    assert "&" not in text
    assert "*" not in text
    assert parse_yaml(lock.read_text(), "")["stages"]["prepare"]["params"]["params.yaml"]["other"] == shared


ODD = {
    "empty": "",
    "torn in its head": "schema: '2.0'\nsta",
    "torn in a line": TEXT[:-3],
    "torn after a key": TEXT[: TEXT.index("    outs:\n") + len("    outs:\n")],
    "another schema": TEXT.replace("'2.0'", "'3.0'"),
    "another form": '{"schema": "2.0", "stages": {}}\n',
    "a third block": f"{TEXT}datasets: []\n",
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_a_torn_or_odd_file_is_refused_and_left_alone(lock, text):
    lock.write_text(text)
    for call in (
        lambda: lock_file.read(lock, ["prepare"]),
        lambda: lock_file.entry_texts(lock),
        lambda: lock_file.write(lock, "prepare", {"cmd": "new"}),
    ):
        with pytest.raises(OddLockFile, match=r"dvc\.lock is not in the form that DVC writes"):
            call()
    assert lock.read_text() == text
    assert [path.name for path in lock.parent.iterdir()] == ["dvc.lock"]


def test_a_merge_that_is_not_resolved_is_named_by_its_line_with_the_way_out(lock):
    text = TEXT.replace("  report:", "<<<<<<< HEAD\n  report:") + "=======\n  report:\n    cmd: x\n>>>>>>> theirs\n"
    lock.write_text(text)
    line = text.splitlines().index("<<<<<<< HEAD") + 1
    for call in (
        lambda: lock_file.read(lock, ["prepare"]),
        lambda: lock_file.entry_texts(lock),
        lambda: lock_file.write(lock, "prepare", {"cmd": "new"}),
    ):
        with pytest.raises(ParameterError, match=rf"dvc\.lock, line {line}: .*git checkout --ours dvc\.lock"):
            call()
    assert lock.read_text() == text
