"""A fingerprint is of a file and exactly what it imports, and of nothing that does not run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.staleness import code_hash

ROOT = Path(__file__).parents[2]
METHOD = '''"""A method."""
from ssl_models.views import crop


def views():
    """What it sees."""
    return crop.cut()
'''


@pytest.fixture
def tree(tmp_path):
    """Two methods, one of which imports a view; a view that imports another; and one stage."""
    files = {
        "ssl_models/methods/one.py": METHOD,
        "ssl_models/methods/two.py": "import torch\n",
        "ssl_models/views/__init__.py": "",
        "ssl_models/views/crop.py": "def cut():\n    from ssl_models.views.grid import places\n\n    return places\n",
        "ssl_models/views/grid.py": "places = 9\n",
        "ssl_models/views/blur.py": "sigma = 1\n",
        "tasks/project/paths.py": "root = 1\n",
    }
    files |= {f"tasks/{name}.py": "from tasks.project.paths import root\n" for name in code_hash.STAGES}
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_what_is_imported_is_followed_into_functions_and_further(tree):
    assert code_hash.reached(tree, {"ssl_models/methods/one.py"}) == {
        "ssl_models/methods/one.py",
        "ssl_models/views/__init__.py",
        "ssl_models/views/crop.py",
        "ssl_models/views/grid.py",
    }


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("ssl_models/methods/one.py", {"one"}),
        ("ssl_models/views/grid.py", {"one"}),
        ("ssl_models/views/blur.py", set()),
        ("ssl_models/methods/two.py", {"two"}),
    ],
)
def test_an_edit_changes_the_fingerprints_of_those_that_import_it(tree, file, changed):
    before = code_hash.fingerprints(tree)["method"]
    (tree / file).write_text((tree / file).read_text() + "\nadded = 1\n")
    after = code_hash.fingerprints(tree)["method"]
    assert {name for name in before if before[name] != after[name]} == changed


def test_plumbing_changes_nothing(tree):
    before = code_hash.fingerprints(tree)
    (tree / "tasks/project/paths.py").write_text("root = 2\n")
    assert code_hash.fingerprints(tree) == before


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
    before = code_hash.fingerprints(tree)
    assert edited != METHOD
    (tree / "ssl_models/methods/one.py").write_text(edited)
    assert code_hash.fingerprints(tree) == before


def test_a_string_that_only_looks_like_a_comment_counts():
    assert code_hash.bare('a = "# one"\n') != code_hash.bare('a = "# two"\n')
    assert code_hash.bare('a = 1\n"""loose"""\n') == 'a = 1\n"""loose"""'


def test_the_command_writes_what_the_tree_says(tree):
    subprocess.run(
        [sys.executable, "-m", "tasks", "code"], cwd=tree, env={"PYTHONPATH": str(ROOT)}, check=True, timeout=60
    )
    assert json.loads((tree / "code.json").read_text()) == code_hash.fingerprints(tree)
    assert code_hash.read(tree) == code_hash.fingerprints(tree)
    (tree / "code.json").unlink()
    assert code_hash.read(tree) == {}


def test_nothing_that_shapes_an_output_counts_as_plumbing():
    """What plumbing names is there, and no stage's own module is among it."""
    assert all((ROOT / path).is_file() for path in code_hash.PLUMBING)
    assert not code_hash.PLUMBING & {f"tasks/{name}.py" for name in code_hash.STAGES}
