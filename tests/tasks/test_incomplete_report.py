"""The report where stages failed: made of what there is, with the reason for each number that is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flows.run import plan
from flows.run.jobs import Outcome
from flows.run.report import after_run
from tasks import report
from tasks.project.project import Project
from tasks.reporting import imprint
from tasks.reporting.terminal import terminal_table
from tests.tasks.study import make, parameters, written
from tests.tasks.test_report import text_of

FAILED = "pretrain@jigsaw"
ABSENT = {
    FAILED: ("failed", 'the loss is "NaN" > 3 & <b>grows</b>'),
    "transfer@jigsaw-linear": ("skipped", f"because {FAILED} failed"),
    "transfer@jigsaw-knn": ("skipped", f"because {FAILED} failed"),
    "cluster@jigsaw_cf": ("skipped", f"because {FAILED} failed"),
    "clusterfit@jigsaw_cf": ("skipped", f"because {FAILED} failed"),
    "transfer_clusterfit@jigsaw_cf-linear": ("skipped", f"because {FAILED} failed"),
    "transfer_clusterfit@jigsaw_cf-knn": ("skipped", f"because {FAILED} failed"),
}


@pytest.fixture
def study(tmp_path: Path) -> tuple[Project, dict[str, Any]]:
    """A study whose report was whole; then one of its runs failed, and left only what was skipped."""
    content = parameters(["random", "rotation", "jigsaw"], ["world"])
    make(tmp_path, "world", content)
    written(tmp_path, content)
    (tmp_path / "metrics/world/jigsaw/training.json").unlink()
    (tmp_path / "metrics/world/jigsaw/linear.json").unlink()
    return Project.given(tmp_path, content), content


def test_stale_numbers_are_left_out_and_every_gap_has_its_reason(study: tuple[Project, dict[str, Any]]) -> None:
    project, _ = study
    report.write_incomplete(project, ABSENT)
    own = imprint.read(project)
    assert own is not None
    assert own.incomplete
    assert own.data == ("world",)
    assert [(gap.state, len(gap.stages)) for gap in own.gaps] == [("failed", 1), ("skipped", 1), ("stale", 5)]
    assert own.gaps[0].why == ABSENT[FAILED][1]
    assert own.gaps[1].stages == ("transfer@jigsaw-linear",)
    page = (project.root / "results/report.html").read_text()
    text = text_of(page)
    assert "This report is incomplete" in text
    assert f"failed {FAILED}: the loss is" in text
    assert f"left by earlier inputs; skipped because {FAILED} failed" in text
    assert "<b>grows" not in page
    assert "Clusters of rotation" in text
    assert "Clusters of jigsaw" not in text
    assert "records were not found" not in text  # each has a better reason
    lines = page[page.index("<tbody>") : page.index("</table>")].split("<tr")
    (line,) = (line for line in lines if "jigsaw</span>" in line)
    assert "skipped" in line  # linear
    assert "stale" in line  # k-NN, whose record of before is there


def test_the_tables_of_the_pipeline_stay_as_they_are(study: tuple[Project, dict[str, Any]]) -> None:
    project, content = study
    results = {path: path.read_text() for path in (project.root / "results").glob("*.csv")}
    assert "jigsaw" in terminal_table(project)
    report.write_incomplete(project, ABSENT)
    assert {path: path.read_text() for path in results} == results
    assert "jigsaw" not in terminal_table(project)
    assert "rotation" in terminal_table(project)
    make(project.root / "again", "world", content)
    for path in (project.root / "again/metrics/world/jigsaw").glob("*.json"):
        path.rename(project.root / "metrics/world/jigsaw" / path.name)
    report.write(project)
    own = imprint.read(project)
    assert own is not None
    assert not own.gaps
    assert "jigsaw" in terminal_table(project)
    assert "incomplete" not in (project.root / "results/report.html").read_text()
    assert not list(project.state.glob("*.csv"))


def test_a_failed_map_takes_no_score_away(
    study: tuple[Project, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All results are those of a whole report; but the page says what failed, and is made again."""
    project, content = study
    make(project.root / "again", "world", content)
    for path in (project.root / "again/metrics/world/jigsaw").glob("*.json"):
        path.rename(project.root / "metrics/world/jigsaw" / path.name)
    report.write(project)
    whole = {path: path.read_text() for path in (project.root / "results").iterdir() if path.suffix != ".html"}
    assert {path.name for path in whole} == {"scores.csv", "runs.csv", "costs.csv", "dvc.yaml"}
    for path in whole:
        path.write_text("of an earlier report\n")
    told: list[str] = []
    monkeypatch.setattr(report, "_tell_registry", lambda _, data: told.append(data.name))
    report.write_incomplete(project, {"atlas": ("failed", "no memory was left")})
    assert {path: path.read_text() for path in whole} == whole
    assert told == ["world"]
    own = imprint.read(project)
    assert own is not None
    assert (own.incomplete, own.lacks_scores) == (True, False)  # so that the next run makes it again
    assert plan.without_page(project)
    text = text_of((project.root / "results/report.html").read_text())
    assert "The map is missing: its stage failed." in text
    assert "There is no map: the stage atlas failed (no memory was left)." in text
    assert "jigsaw" in terminal_table(project)
    outcome = Outcome({}, (), {"report": "atlas"})
    assert "earlier report" not in after_run(project, outcome)
    report.write_incomplete(project, {"atlas": ("failed", "x"), FAILED: ("failed", "y")})
    assert "earlier report" in after_run(project, outcome)


def test_where_the_data_could_not_be_prepared_there_is_still_a_page_that_says_so(tmp_path: Path) -> None:
    content = parameters(["rotation"], ["world"])
    project = Project.given(tmp_path, content)
    report.write_incomplete(project, {"prepare": ("failed", "no picture in the folder")})
    assert "failed prepare: no picture in the folder" in text_of((tmp_path / "results/report.html").read_text())
    assert "no score" in terminal_table(project)


def test_what_is_not_applicable_is_named_once_for_all_and_leaves_a_report_whole(tmp_path: Path) -> None:
    content = parameters(["random", "rotation"], ["world"])
    make(tmp_path, "world", content, pictures=False)
    for run in (*content["pretrain"], *content["clusterfit"]):
        reason = {"not_applicable": "knn: there are 3 samples"}
        (tmp_path / f"metrics/world/{run}/knn.json").write_text(json.dumps(reason))
    page, _ = written(tmp_path, content)
    own = imprint.read(Project(tmp_path))
    assert own is not None
    assert not own.incomplete
    (gap,) = own.gaps
    assert (gap.state, gap.why, len(gap.stages)) == ("not applicable", "there are 3 samples", 5)
    assert gap.text.endswith("transfer_clusterfit@rotation_cf400-knn and 1 more: there are 3 samples")
    assert "not applicable transfer@random-knn, transfer@rotation-knn" in text_of(page)


def test_a_page_of_another_version_has_no_imprint(tmp_path: Path) -> None:
    assert imprint.read(Project(tmp_path)) is None
    (tmp_path / "results").mkdir()
    (tmp_path / "results/report.html").write_text("<!doctype html>\n<html>\n")
    assert imprint.read(Project(tmp_path)) is None
