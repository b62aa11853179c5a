"""code.json holds a hash a stage, of exactly the code that computes it, and of nothing that does not run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ssl_models.protocols._common import statement
from tasks.settings.refits import REFIT
from tasks.settings.schema import ParameterError
from tasks.staleness import code_hash, sources
from tasks.staleness.sources import Sources

ROOT = Path(__file__).parents[2]
METHOD = '''"""A method."""
from ssl_models.views import crop


def views():
    """What it sees."""
    return crop.cut()
'''
FILES = {
    "ssl_models/methods/one.py": METHOD,
    "ssl_models/methods/two.py": "import torch\n",
    "ssl_models/methods/supervised.py": "loss = 1\n",
    "ssl_models/encoders/plain.py": "class Plain: ...\n\n\nENCODER = Plain\n",
    "ssl_models/encoders/split.py": "class Split: ...\n\n\nENCODER = Split\n",
    "ssl_models/methods/splits.py": "from ssl_models.encoders.split import Split\n",
    "ssl_models/protocols/frozen.py": 'NEEDS = ("features",)\nTITLE = "frozen"\ntop = 1\n',
    "ssl_models/protocols/tuned.py": 'NEEDS = ("encoder",)\nTITLE = "tuned"\n',
    "ssl_models/datasets/shapes.py": "shapes = 12\n",
    "ssl_models/datasets/scenes.py": "objects = 3\n",
    "ssl_models/parallel/processes.py": "ranks = 1\n",
    "ssl_models/parallel/encoder_shards.py": "shards = 1\n",
    "ssl_models/parallel/view_shares.py": "views = 1\n",
    "ssl_models/views/__init__.py": "",
    "ssl_models/views/crop.py": "def cut():\n    from ssl_models.views.grid import places\n\n    return places\n",
    "ssl_models/views/grid.py": "places = 9\n",
    "ssl_models/views/blur.py": "sigma = 1\n",
    "tasks/artifacts/encoders.py": "weights = 1\n",
    "tasks/project/paths.py": "root = 1\n",
    "tasks/extract.py": "from tasks.artifacts.encoders import weights\nfrom tasks.project.paths import root\n",
    "tasks/targets/prepare.py": "",
    "tasks/targets/transfer.py": "",
} | {
    f"tasks/{name}.py": "import os\n" for name in ("prepare", "pretrain", "cluster", "clusterfit", "transfer", "report")
}
PARAMETERS = {
    "data": {"name": "world", "reader": "shapes"},
    "machine": {"threads": 1},
    "encoder": {"name": "plain"},
    "pretrain": {"first": {"method": "one"}, "second": {"method": "two"}, "third": {"method": "splits"}},
    "clusterfit": {"first_cf": {"source": "first"}, "first_two": {"source": "first", "method": "two"}},
    "transfer": {"frozen": {}, "tuned": {}},
    "targets": {"cells": {"protocol": "frozen", "data": {"reader": "scenes"}}},
}


@pytest.fixture
def tree(tmp_path):
    """Methods, encoders, protocols and readers, of which some import others; the stages' modules; params.yaml."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(PARAMETERS))
    return tmp_path


def flat(content, prefix=""):
    """Every hash under its dotted key."""
    found = {}
    for name, value in content.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return found


def changed_by(tree, file, text=None):
    """The stages whose hash is another once a line is added to a file, or it holds another text."""
    before = flat(code_hash.fingerprints(tree))
    path = tree / file
    path.write_text(path.read_text() + "\nadded = 1\n" if text is None else text)
    after = flat(code_hash.fingerprints(tree))
    assert before.keys() == after.keys()
    return {key for key in before if before[key] != after[key]}


def test_what_is_imported_is_followed_into_functions_and_further(tree):
    assert Sources(tree).reached(["ssl_models/methods/one.py"]) == {
        "ssl_models/methods/one.py",
        "ssl_models/views/__init__.py",
        "ssl_models/views/crop.py",
        "ssl_models/views/grid.py",
    }


TUNED = "transfer.{0}.tuned", "extract.{0}", "transfer_target.{0}.cells"


@pytest.mark.parametrize(
    ("file", "stages"),
    [
        ("ssl_models/methods/one.py", {"pretrain.first"}),
        ("ssl_models/views/grid.py", {"pretrain.first"}),
        ("ssl_models/views/blur.py", set()),
        ("ssl_models/methods/two.py", {"pretrain.second", "clusterfit.first_two"}),
        ("ssl_models/methods/supervised.py", {"clusterfit.first_cf"}),
        ("ssl_models/encoders/split.py", {"pretrain.third", *(key.format("third") for key in TUNED)}),
        ("ssl_models/datasets/shapes.py", {"prepare"}),
        ("ssl_models/datasets/scenes.py", {"prepare_target.cells"}),
        ("tasks/cluster.py", {"cluster.first_cf", "cluster.first_two"}),
        ("tasks/report.py", {"report"}),
        ("tasks/project/paths.py", set()),
        ("ssl_models/parallel/processes.py", set()),
    ],
)
def test_an_edit_concerns_the_stages_that_it_reaches_and_no_others(tree, file, stages):
    assert changed_by(tree, file) == stages


def test_the_encoder_that_params_yaml_names_concerns_all_that_build_it(tree):
    changed = changed_by(tree, "ssl_models/encoders/plain.py")
    assert {"pretrain.first", "clusterfit.first_cf", "extract.second", "transfer.first.tuned"} <= changed
    assert not {key for key in changed if key.endswith(".frozen") or key.startswith(("cluster.", "prepare", "report"))}


def test_how_encoders_are_read_shapes_every_feature_and_what_is_tuned(tree):
    runs = ("first", "second", "third")
    refits = ("first_cf", "first_two")
    expected = {f"extract.{run}" for run in runs} | {f"extract_clusterfit.{run}" for run in refits}
    expected |= {f"transfer.{run}.tuned" for run in runs} | {f"transfer_clusterfit.{run}.tuned" for run in refits}
    assert changed_by(tree, "tasks/artifacts/encoders.py") == expected


def test_a_refit_follows_the_method_that_it_names(tree):
    before = flat(code_hash.fingerprints(tree, PARAMETERS))
    named = {**PARAMETERS["clusterfit"], "first_cf": {"source": "first", "method": "two"}}
    after = flat(code_hash.fingerprints(tree, PARAMETERS | {"clusterfit": named}))
    assert after["clusterfit.first_cf"] == before["clusterfit.first_two"] != before["clusterfit.first_cf"]


def test_of_all_methods_a_refit_s_hash_covers_its_own_alone(tree):
    refits = {}
    for file in sorted(name for name in FILES if name.startswith("ssl_models/methods/")):
        for key in changed_by(tree, file):
            if key.startswith("clusterfit."):
                refits.setdefault(key, []).append(file)
    assert refits == {
        "clusterfit.first_cf": [f"ssl_models/methods/{REFIT}.py"],
        "clusterfit.first_two": ["ssl_models/methods/two.py"],
    }


@pytest.mark.parametrize("file", [name for name in FILES if name.startswith("ssl_models/parallel/")])
@pytest.mark.parametrize("processes", [1, 2])
def test_several_processes_bring_the_code_by_which_they_share(tree, file, processes):
    (tree / "params.yaml").write_text(yaml.safe_dump(PARAMETERS | {"machine": {"threads": 1, "processes": processes}}))
    trainings = {f"{word}.{run}" for word in ("pretrain", "clusterfit") for run in PARAMETERS[word]}
    assert changed_by(tree, file) == (trainings if processes == 2 else set())


@pytest.mark.parametrize("folder", sources.MACHINERY)
def test_what_carries_changes_no_hash_though_stages_import_it(tree, folder):
    file = tree / folder / "carrier.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("carried = 1\n")
    module = f"{folder.replace('/', '.')}carrier"
    for name in ("tasks/prepare.py", "tasks/transfer.py", "ssl_models/methods/one.py"):
        (tree / name).write_text(f"from {module} import carried\n")
    assert changed_by(tree, file.relative_to(tree)) == set()


def test_the_report_reads_what_protocols_state_and_not_how_they_work(tree):
    file, text = "ssl_models/protocols/frozen.py", FILES["ssl_models/protocols/frozen.py"]
    measured = {key for key in flat(code_hash.fingerprints(tree)) if key.startswith("transfer") and "tuned" not in key}
    worked = text.replace("top = 1", "top = 2")
    assert changed_by(tree, file, worked) == measured
    titled = worked.replace('"frozen"', '"cold"')
    assert changed_by(tree, file, titled) == {"atlas", "report"}
    needing = titled.replace('("features",)', '("features", "encoder")')
    assert changed_by(tree, file, needing) == measured | {"atlas", "report"}
    assert measured & changed_by(tree, "tasks/artifacts/encoders.py") == {
        key for key in measured if "target" not in key
    }


@pytest.mark.parametrize(
    "edited",
    [
        METHOD.replace("A method.", "A better method."),
        METHOD.replace("What it sees.", "What it sees,\n    said at length."),
        METHOD.replace("\n    return", "\n    # because\n    return"),
        METHOD.replace("crop.cut()", "crop.cut()  # twice"),
        METHOD.replace("\n\n\n", "\n\n\n\n"),
    ],
)
def test_comments_docstrings_and_blank_lines_change_nothing(tree, edited):
    assert edited != METHOD
    assert changed_by(tree, "ssl_models/methods/one.py", edited) == set()


def test_a_string_that_only_looks_like_a_comment_counts():
    assert sources.bare('a = "# one"\n') != sources.bare('a = "# two"\n')
    assert sources.bare('a = 1\n"""loose"""\n') == "a = 1"


def test_the_constants_that_are_left_out_are_those_of_a_statement():
    assert sources.STATED == statement.FIELDS


def test_a_stated_constant_that_its_module_reads_counts():
    assert sources.bare('TITLE = "cold"\na = 1\n') == "a = 1"
    assert "TITLE" in sources.bare('TITLE = "cold"\na = TITLE\n')
    assert "TITLE" in sources.bare("TITLE = name()\n")


def test_the_command_writes_what_an_edit_changes(tree):
    def written():
        command = [sys.executable, "-m", "tasks", "code"]
        subprocess.run(command, cwd=tree, env={"PYTHONPATH": str(ROOT)}, check=True, timeout=60)
        return json.loads((tree / "code.json").read_text())

    assert code_hash.read(tree) == {}
    first = written()
    assert first == code_hash.read(tree) == code_hash.fingerprints(tree)
    (tree / "ssl_models/methods/two.py").write_text("import torch\n\nmore = 1\n")
    assert {key for key, value in flat(written()).items() if flat(first)[key] != value} == {
        "pretrain.second",
        "clusterfit.first_two",
    }


def test_only_what_is_wanted_is_hashed(tree):
    every = code_hash.fingerprints(tree)
    some = code_hash.fingerprints(tree, wanted=("prepare", "transfer.first.frozen"))
    assert some == {
        "prepare": every["prepare"],
        "transfer": {"first": {"frozen": every["transfer"]["first"]["frozen"]}},
    }


def test_a_block_that_cannot_be_is_passed_over(tree):
    broken = {"pretrain": {"first": 3}, "clusterfit": None, "transfer": ["knn"], "targets": "cells"}
    assert set(flat(code_hash.fingerprints(tree, broken))) == {"prepare", "atlas", "report"}


def test_the_projects_own_trainings_write_encoders_and_its_extractions_read_them():
    file = "tasks/artifacts/encoders.py"
    own = Sources(ROOT)
    assert all(file in own.reached([f"tasks/{name}.py"]) for name in ("pretrain", "clusterfit", "extract"))
    assert not any(file in own.reached([f"tasks/{name}.py"]) for name in ("prepare", "cluster", "transfer", "report"))


def test_all_that_processes_share_by_is_in_the_hash_of_their_trainings():
    files = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ssl_models/parallel").glob("[!_]*.py")}
    assert files == set(code_hash.SHARING)


def test_every_folder_of_machinery_is_there():
    assert all((ROOT / folder).is_dir() for folder in sources.MACHINERY)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            b"first = 1\nMETHOD = = Mine\n",
            r"methods/one\.py, line 2: SyntaxError: invalid syntax\n    METHOD = = Mine",
        ),
        (b"if True:\nfirst = 1\n", r"methods/one\.py, line 2: IndentationError"),
        (b"name = '\xff'\n", r"methods/one\.py: UnicodeDecodeError"),
        (b"name = '\0'\n", r"methods/one\.py"),
    ],
)
def test_a_method_that_is_no_python_is_named_by_file_and_line(tree, content, words):
    (tree / "ssl_models/methods/one.py").write_bytes(content)
    with pytest.raises(ParameterError, match=words):
        code_hash.fingerprints(tree)
