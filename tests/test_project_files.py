"""What the files beside the code say of the code is true."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from tasks.project.paths import MODELS
from tasks.settings.source_places import WRITTEN

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = PROJECT["project"]["version"]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_to_files_that_there_are(name: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / name).read_text())
    assert links
    assert not [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()]


def test_folders_that_contributions_go_to_are_there() -> None:
    folders = set(re.findall(r"`((?:ssl_models|tests|flows|tasks|studies)/[a-z_/]*)", CONTRIBUTING))
    assert {"ssl_models/methods/", "ssl_models/protocols/", "ssl_models/datasets/", "ssl_models/encoders/"} <= folders
    assert not [folder for folder in folders if not (ROOT / folder.rpartition("/")[0]).is_dir()]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("ssl_models/methods/rotation.py", ("METHOD", "family", "reference", "views", "loss")),
        ("ssl_models/method.py", ("class Method", "after_step", "by_rows", "chance")),
        ("ssl_models/protocols/knn.py", ("NEEDS", "TITLE", "READING", "HEADLINE", "UNITS", "evaluate", "Findings")),
        ("ssl_models/datasets/cifar10.py", ("def load", "def count", "def files")),
        ("ssl_models/encoders/bag.py", ("FROM_DATA", "ENCODER", "standardise", "blocks", "pool", "modalities")),
        ("ssl_models/encoders/encoder.py", ("class Encoder", "represent")),
        ("tests/tasks/test_portable.py", ("INPUTS",)),
        ("tasks/atlas.py", ("context", "Result")),
        ("tasks/stage/warm.py", ("STAGES",)),
        ("tasks/stage/costs.py", ("def work",)),
        ("tasks/staleness/code_hash.py", ("_stages",)),
        ("tests/ssl_models/test_any_encoder.py", ("ENCODERS",)),
        ("studies/label_noise.yaml", ("claim", "source", "published", "measures", "rules", "quick", "full")),
    ],
)
def test_names_that_contributions_use_are_in_the_files_that_they_copy(path: str, words: tuple[str, ...]) -> None:
    text = (ROOT / path).read_text()
    for word in words:
        assert word in text
        assert word.removeprefix("class ").removeprefix("def ") in CONTRIBUTING


def test_what_security_names_as_tried_is_a_test_that_there_is() -> None:
    security = (ROOT / "SECURITY.md").read_text()
    tests = re.findall(r"(?:flows|tasks|ssl_models)/test_\w+\.py", security)
    assert tests
    assert not [name for name in tests if not (ROOT / "tests" / name).exists()]
    assert "default-src 'none'" in security


def test_the_versions_agree() -> None:
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == VERSION
    assert re.findall(r"(?m)^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text())[:2] == ["Unreleased", VERSION]


def test_the_citation_has_what_its_format_asks_for() -> None:
    found = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert found["cff-version"] == "1.2.0"
    assert found["authors"] == [{"name": "The Covey developers"}]
    assert found["type"] == "software"
    assert {"message", "title"} <= found.keys()


def copied(dockerfile: str) -> set[str]:
    """What is copied from the project, patterns as the names that they stand for."""
    lines = re.sub(r"\\\n", " ", dockerfile).splitlines()
    words = [word for line in lines if line.startswith("COPY") for word in line.split()[2:-1]]
    found = {word: {"."} if word == "." else {path.name for path in ROOT.glob(word)} for word in words}
    assert all(found.values()), found
    return set().union(*found.values())


def test_the_image_has_what_its_environment_is_made_of_before_it_is_made() -> None:
    before, made, after = (ROOT / "Dockerfile").read_text().partition("RUN make .venv/.ready\n")
    assert made
    assert "." in copied(after)
    tools = PROJECT["tool"]["setuptools"]
    needed = {f"{name}.py" for name in tools["py-modules"]}
    needed |= {name.rstrip("*") for name in tools["packages"]["find"]["include"]}
    dynamic = tools["dynamic"]
    needed |= {*dynamic["dependencies"]["file"]}.union(
        *(each["file"] for each in dynamic["optional-dependencies"].values())
    )
    needed |= {name for name in PROJECT["project"].values() if isinstance(name, str) and (ROOT / name).is_file()}
    rule = re.search(r"(?m)^\$\(READY\): (.*)\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text())
    assert rule
    needed |= {*rule[1].split(), *(word for word in re.findall(r"[\w.-]+", rule[2]) if (ROOT / word).exists())}
    needed -= {".", ".venv"}
    assert {"covey.py", "requirements-atlas.in", "requirements.txt", "tasks"} <= needed
    assert needed - copied(before) == set()


def test_the_image_leaves_out_what_is_made() -> None:
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    made = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert not [name for name in made if name not in left_out and f"**/{name}" not in left_out]
    assert {".git", *WRITTEN, MODELS} <= {*left_out}
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in left_out if line and not line.startswith(("#", ".ci", "*"))]
    assert not [file for file in tracked.splitlines() if file.startswith(tuple(f"{line}/" for line in lines))]


def test_make_clean_forgets_what_runs_write_and_git_does_not_have() -> None:
    done = subprocess.run(["make", "-n", "clean"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ignored = (ROOT / ".gitignore").read_text().split()
    results = [line.strip("/") for line in ignored if line.startswith("/results/")]
    assert {"results/costs.csv", "results/report.html"} <= set(results)
    assert not [path for path in [*results, "data", "runs", "metrics", "maps", ".covey"] if path not in done]
