"""code.json holds a hash a stage, of exactly the code that computes it, and of nothing that does not run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

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


def test_several_processes_bring_the_code_by_which_they_share(tree):
    (tree / "params.yaml").write_text(yaml.safe_dump(PARAMETERS | {"machine": {"threads": 1, "processes": 2}}))
    trainings = {f"pretrain.{run}" for run in PARAMETERS["pretrain"]}
    trainings |= {f"clusterfit.{run}" for run in PARAMETERS["clusterfit"]}
    assert changed_by(tree, "ssl_models/parallel/encoder_shards.py") == trainings


def test_the_report_reads_what_protocols_state_and_not_how_they_work(tree):
    text = FILES["ssl_models/protocols/frozen.py"]
    assert "report" not in changed_by(tree, "ssl_models/protocols/frozen.py", text.replace("top = 1", "top = 2"))
    assert "report" in changed_by(tree, "ssl_models/protocols/frozen.py", text.replace('"frozen"', '"cold"'))


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
    assert sources.bare('a = 1\n"""loose"""\n') == 'a = 1\n"""loose"""'


def test_the_command_writes_what_an_edit_changes(tree):
    def written():
        command = [sys.executable, "-m", "tasks", "code"]
        subprocess.run(command, cwd=tree, env={"PYTHONPATH": str(ROOT)}, check=True, timeout=60)
        return json.loads((tree / "code.json").read_text())

    first = written()
    assert code_hash.read(tree) == first
    (tree / "ssl_models/methods/two.py").write_text("import torch\n\nmore = 1\n")
    assert {key for key, value in flat(written()).items() if flat(first)[key] != value} == {
        "pretrain.second",
        "clusterfit.first_two",
    }
    (tree / "code.json").unlink()
    assert code_hash.read(tree) == {}


def test_every_folder_of_machinery_is_there():
    assert all((ROOT / folder).is_dir() for folder in sources.MACHINERY)
