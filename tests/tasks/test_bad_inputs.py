"""Whatever people may write into a file or on the command line is refused at once, in one line that says where."""

from __future__ import annotations

import copy
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.project.project import Project
from tasks.selection import scope
from tasks.settings import edit, params, values, yaml_files
from tasks.settings.schema import ParameterError
from tasks.sweeps import sweep as sweeps
from tests.tasks.conftest import ROOT

GOOD: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
SCENES = GOOD["datasets"]["scenes"]
NOON = "0 12 * * *"


def told(action: Any, *arguments: Any) -> str:
    """The refusal, which must be one line that a terminal can show."""
    with pytest.raises(ParameterError) as error:
        action(*arguments)
    text = str(error.value)
    assert text.isprintable()
    assert len(text) < 1200
    return text


def changed(place: str, value: Any) -> dict[str, Any]:
    """params.yaml with another value at a place such as "training/epochs"."""
    content: dict[str, Any] = {**copy.deepcopy(GOOD), "orchestration": {"train": {}}}
    *folders, last = place.split("/")
    block = content
    for folder in folders:
        block = block[folder]
    block[last] = value
    return content


LAUGHS = b"x0: &x0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + b"".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n".encode() for n in range(1, 9)
)
MERGED = b"x0: &x0 {a: 1, b: 2, c: 3}\n" + b"".join(
    f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}\n".encode() for n in range(1, 9)
)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"a: 1\nb: caf\xe9\n", "FILE, line 2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "FILE, line 1: byte 0xff is not UTF-8"),
        (b"a: \0", "FILE is not valid YAML: unacceptable character"),
        (b"a: \x07", "FILE is not valid YAML: unacceptable character"),
        (
            b"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n",
            "line 2: a merge left its marker '<<<<<<< HEAD'",
        ),
        (b"a: 1\nb: 2\n>>>>>>> theirs\n", "FILE, line 3: a merge left its marker '>>>>>>> theirs'"),
        (b"a: " + b"[" * 900_000, "FILE, line 1: it is nested more than 50 levels deep"),
        (b"- " * 400_000, "FILE, line 1: it is nested more than 50 levels deep"),
        (b"".join(b" " * n + b"a:\n" for n in range(200)), "nested more than 50 levels deep"),
        (LAUGHS, "FILE: its aliases .* repeat one another to more than 1,000,000 values"),
        (MERGED, "FILE is not valid YAML: line .*: a mapping has more than 100,000 keys"),
        (b"a: &x [*x]", "FILE: its aliases"),
        (b"a: 1\nb: 2\na: 3\n", "FILE is not valid YAML: line 3, column 1: the key 'a' stands twice"),
        (b"a:\n\tb: 1", "FILE is not valid YAML: line 2, column 1"),
        (b"a: 1\n---\nb: 1\n", "FILE is not valid YAML: line 2, column 1: expected a single document"),
        (b"a: !!python/object:os.system x", "FILE is not valid YAML: line 1, column 4: could not determine"),
        (b"a: 2024-13-45", "line 1, column 4: '2024-13-45' is not of type timestamp"),
        (b"a: 2024-01-31", "FILE: a is 2024-01-31, of the type date, which no setting has; put it in quotes"),
        (b"a: [{b: !!binary aGVsbG8=}]", "FILE: a.b is b'hello', of the type bytes"),
        (b"a: !!set {b}", "FILE: a is .*of the type set"),
        (b"a: " + b"9" * 5000, "is not of type int"),
        (b"a: 0x" + b"f" * 5000, "FILE: a is a value that cannot be shown, a number that no setting can have"),
        (b"a: 9223372036854775808", "FILE: a is 9223372036854775808, a number that no setting can have"),
        (b"a: !!int x", "line 1, column 4: 'x' is not of type int"),
        (b"a: !!bool maybe", "'maybe' is not of type bool"),
        (b"a: [.nan]", "FILE: a is nan, which is not a finite number"),
        (b"a: -.inf", "FILE: a is -inf, which is not a finite number"),
        (
            b"a: {no: 1}",
            "FILE: a.False: the key is False. YAML reads on, off, yes and no as true or",
        ),
        (b"a: {~: 1}", "FILE: a.None: the key None is not a name"),
        (b"2024-01-01: 1", "the key 2024-01-01 is not a name"),
        (b"? [a, b]\n: 1", "line 1, column 3: .*unhashable key"),
        (b"a: 1\n" * 250_000, "FILE has 1,250,000 bytes, and the most is 1,000,000"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_the_place(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "file.yaml").write_bytes(data)
    begun = time.process_time()
    assert re.search(words, told(yaml_files.read, tmp_path / "file.yaml", "FILE"))
    assert time.process_time() - begun < 10  # of work: some of these took minutes, or the process down


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    assert "FILE is not a file" in told(yaml_files.read, tmp_path / "pipe", "FILE")
    assert "FILE is not a file" in told(yaml_files.read, tmp_path, "FILE")
    assert "FILE cannot be read: Too many levels" in told(yaml_files.read, tmp_path / "loop", "FILE")


def test_every_spelling_of_yaml_that_was_good_is_good() -> None:
    text = b"""
a: &a {x: 1, y: {z: [1, 2.5e-3, 'word', yes, ~]}}
b: {<<: *a, x: 2}
c: {<<: *a, w: 3}
d: [{<<: *a}, *a, *a]
e: |
  two
  lines
1: a number
"""
    found = yaml_files.parse(text, "FILE")
    assert found["b"] == {"x": 2, "y": {"z": [1, 0.0025, "word", True, None]}}
    assert found["c"]["x"] == 1
    assert found["d"][0] == found["a"]


BLOCKS = [name for name in params.BLOCKS if name != "seed"]


@pytest.mark.parametrize("value", [5, ["a"], "word", True, [["a"]]])
@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_of_another_kind_is_refused_by_its_name(block: str, value: Any) -> None:
    assert block in told(params.check_parameters, changed(block, value), ROOT)


@pytest.mark.parametrize("value", [5, ["a"], "word", None])
@pytest.mark.parametrize(
    "place",
    [
        "datasets/world",
        "pretrain/rotation",
        "clusterfit/rotation_cf",
        "transfer/knn",
        "targets/scenes_normals",
        "schedules/nightly",
        "data/name",
        "data/reader",
        "encoder/name",
        "pretrain/rotation/method",
        "clusterfit/rotation_cf/source",
        "clusterfit/rotation_cf/outputs",
        "targets/scenes_normals/data",
        "targets/scenes_normals/protocol",
    ],
)
def test_a_name_or_mapping_of_another_kind_is_refused(place: str, value: Any) -> None:
    assert place.split("/")[0] in told(params.check_parameters, changed(place, value), ROOT)


NUMBERS = {
    "seed": (-1, 2**32, 1.5),
    "machine/threads": (0, 10**6, 1.5),
    "machine/processes": (0, 10**6),
    "machine/chunk": (-1, 10**9, "auto"),
    "encoder/width": (0, 10**12),
    "encoder/depth": (0, 10**12),
    "encoder/stem_stride": (0, 10**12),
    "training/epochs": (0, 10**12, 1.5),
    "training/batch_size": (-1, 10**12),
    "training/learning_rate": (0, -0.1, 10**12, float("nan"), float("inf")),
    "training/momentum": (-0.1, 1.1, float("nan")),
    "training/weight_decay": (-1, 10**12, float("inf")),
    "training/warmup_epochs": (-1, 10**12),
    "training/decay": (0, -0.1, 1.1, float("nan")),
    "extract/size": (0, 10**12),
    "datasets/world/train": (0, 10**12),
    "datasets/world/test": (-5, 10**12),
    "datasets/world/size": (0, 10**6),
    "datasets/world/clutter": (float("nan"), 10**400),
    "clusterfit/rotation_cf/clusters": (1, 10**12),
    "pretrain/rotation/epochs": (0,),
    "transfer/knn/neighbours": (0, 10**12),
    "transfer/knn/temperature": (0, float("inf")),
    "targets/scenes_normals/learning_rate": (0, -1),
    "orchestration/train/retries": (-1, 10**9),
    "orchestration/train/retry_delay": (-1, 1e9),
    "orchestration/train/timeout": (0, -1, 1e9),
    "orchestration/train/weight": (-1, 1e10),
}


@pytest.mark.parametrize(("place", "value"), [(place, value) for place, many in NUMBERS.items() for value in many])
def test_a_number_out_of_bounds_is_refused_with_its_bound(place: str, value: Any) -> None:
    text = told(params.check_parameters, changed(place, value), ROOT)
    assert place.split("/")[-1] in text
    assert "it must be" in text or "is not of type" in text or "the most is" in text


@pytest.mark.parametrize("place", NUMBERS)
@pytest.mark.parametrize("value", [True, "3", [1]])
def test_what_is_no_number_is_not_taken_for_one(place: str, value: Any) -> None:
    assert "is not of type" in told(params.check_parameters, changed(place, value), ROOT)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("pretrain/mine", {"method": "rotation", "milestones": 0.6}, r"milestones: 0\.6 is not of type list\[float\]"),
        ("transfer/linear", {"weight_decays": ["x"]}, r"weight_decays: \['x'\] is not of type list\[float\]"),
        ("transfer/retrieval", {"ranks": [True]}, "ranks"),
        ("transfer/retrieval", {"ranks": [10**16]}, "ranks: its entry is 10000000000000000; it must be at most"),
        ("pretrain/mine", {"method": "multi_pretext", "tasks": [1]}, "tasks"),
        ("pretrain/mine", {"method": "rotation", "encoder": {"width": -3}}, "encoder.width is -3"),
        ("pretrain/mine", {"method": "../methods/rotation"}, "unknown method '../methods/rotation'"),
        ("pretrain/" + "a" * 101, {"method": "rotation"}, "at most 100 letters, digits and underscores"),
        ("targets/training", {"protocol": "knn", "data": SCENES}, "the name 'training' is that of a training's record"),
        (
            "targets/mine",
            {"protocol": "detection", "data": GOOD["datasets"]["world"]},
            "targets.mine: the protocol 'detection' needs boxes, and the reader 'world' gives none.*voc, voc07",
        ),
        (
            "targets/mine",
            {"protocol": "keypoints", "data": GOOD["datasets"]["cells"]},
            "needs points.*'voc' gives none",
        ),
        ("data/source", "", "there is no ''"),
        ("data/source", "a\0b", "is no path|there is no"),
        ("datasets/cells/source", "a\0b", "datasets.cells.source: .* is no path"),
        ("data/source", "a" * 5000, r"is no path|there is no"),
        ("data/source", "~nobody_here/x", "is no path|there is no"),
        ("runs", False, "unknown set of runs False. YAML reads on, off, yes and no|put the word in quotes"),
        ("sets/mine", [False], "YAML reads on, off, yes and no"),
        ("sets/mine", [["rotation"]], "'sets' must be a mapping of names to lists"),
        ("suites/mine", None, "'suites' must be a mapping of names to lists"),
        ("machine/precision", False, "False is not of type str. YAML reads on, off"),
        ("schedules/nightly", {"cron": NOON, "run": [["a"]]}, "run"),
        (
            "schedules/nightly",
            {"cron": "9" * 2000 + " * * * *", "run": []},
            "is not a cron expression",
        ),
        ("schedules/nightly", {"cron": "\u0663 * * * *", "run": []}, "ASCII"),
        ("schedules/nightly", {"cron": NOON, "run": [], "timezone": "a" * 5000}, "unknown time zone"),
        ("schedules/nightly", {"cron": NOON, "sweep": "a" * 300}, "is not the name of a sweep"),
        ("schedules/nightly", {"cron": NOON, "sweep": "a\n"}, "is not the name of a sweep"),
        ("orchestration/train", 5, "orchestration"),
    ],
)
def test_what_else_cannot_be_is_refused(place: str, value: Any, words: str) -> None:
    assert re.search(words, told(params.check_parameters, changed(place, value), ROOT))


def test_samples_and_size_together_must_fit() -> None:
    block = {**GOOD["datasets"]["world"], "train": 50_000_000, "size": 256}
    assert "50,002,048 samples of 256 pixels a side take 9.8 TB" in values.picture_problem(block)


def test_a_pipeline_s_file_is_read_with_the_same_care(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for data, words in (
        (b"# caf\xe9", "dvc.yaml, line 1"),
        (b"", "must be a mapping with 'stages'"),
        (b"- a", "stages"),
    ):
        (tmp_path / "dvc.yaml").write_bytes(data)
        assert words in told(lambda: Project(tmp_path).parameters)


@pytest.mark.parametrize(
    "name", ["a: b", "\\1", "x #y", "a\nb", "", "*world", "[a", "\\g<0>", "~nobody/x", "a" * 5000, "small\n", "small #"]
)
def test_names_of_the_command_line_are_never_put_into_the_file_unless_known(tmp_path: Path, name: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text())
    before = path.read_text()
    told(edit.select, tmp_path, scope.RUNS, name)
    told(edit.select, tmp_path, scope.PROTOCOLS, name)
    told(edit.select_data, tmp_path, name)
    for kind, folder in (("sweep", "sweeps"), ("study", "studies")):
        told(sweeps.read, Project(tmp_path), folder, name, kind)
    assert path.read_text() == before


def test_a_set_whose_name_needs_quotes_is_selected_with_them(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("\n    sets:\n", "\n    sets:\n      'a: b #c': [rotation]\n", 1)
    (tmp_path / "params.yaml").write_text(text)
    edit.select(tmp_path, scope.RUNS, "a: b #c")
    assert params.read(tmp_path)["runs"] == "a: b #c"
    edit.select(tmp_path, scope.RUNS, "small")
    assert params.read(tmp_path)["runs"] == "small"
