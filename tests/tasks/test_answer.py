"""What is printed below the table: the report's own answer and short next steps, and nothing of other records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.run.report import table_and_answer
from tasks import report
from tasks.project.project import Project
from tasks.reporting import records
from tasks.reporting.answer import answer_lines
from tasks.reporting.terminal import terminal_table
from tasks.reporting.verdict import verdict
from tests.tasks.study import LEVELS, make, parameters

RUNS = list(LEVELS)[:3]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose report has just been written."""
    content = parameters(RUNS, {"name": "world", "reader": "world", "source": "world.py", "size": 32})
    make(tmp_path, "world", content)
    found = Project.given(tmp_path, content)
    report.write(found)
    return found


def first_score(project: Project) -> tuple[Path, dict[str, Any]]:
    path = next(iter(sorted((project.root / "metrics/world").glob("rotation/knn.json"))))
    return path, json.loads(path.read_text())


def test_the_answer_is_the_verdict_s_first_sentence_and_next_steps_are_short(project: Project) -> None:
    answer, *steps = answer_lines(project)
    (data,) = records.collect(project, project.parameters, {})
    assert answer == verdict(data)[0]
    assert steps
    assert all(step.startswith("Next: ") and "`" not in step.partition(": covey")[0] for step in steps)
    assert all(len(step) < 120 for step in steps)
    shown = table_and_answer(project)
    assert shown == "\n".join([terminal_table(project), "", answer, *steps])


def test_scores_that_are_not_the_report_s_have_no_answer(project: Project) -> None:
    path, content = first_score(project)
    content["scores"][0]["value"] += 0.01
    path.write_text(json.dumps(content))
    assert answer_lines(project) == []
    assert table_and_answer(project) == terminal_table(project)
    path.write_text("{")
    assert answer_lines(project) == []


def test_a_report_that_is_incomplete_or_absent_has_no_answer(project: Project) -> None:
    report.write_incomplete(project, {"transfer@rotation-knn": ("failed", "no memory")})
    assert answer_lines(project) == []
    (project.root / "results/report.html").unlink()
    assert answer_lines(project) == []


def test_it_is_as_light_as_the_table() -> None:
    code = (
        "import sys, tasks.reporting.answer\n"
        "print(sorted({'torch', 'matplotlib', 'jinja2', 'PIL', 'mlflow', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
