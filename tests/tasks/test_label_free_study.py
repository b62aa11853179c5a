"""What the report says of the study label_free: sentences made of its outcome, and nothing where there is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.project.project import Project
from tasks.reporting import label_free_study
from tasks.studies import board
from tests.tasks.study import make, parameters, written


def association(score: str, other: str, place: str, rho: float | None, **changes: Any) -> dict[str, Any]:
    ends = {"low": None, "high": None} if rho is None else {"low": rho - 0.2, "high": rho + 0.1}
    own = {"score": score, "with": other, "place": place, "without": [], "rho": rho, **ends, "encoders": 50}
    return {"rule": "a rule", "association": {**own, **changes}}


RULES = [
    association("crop_agreement", "linear", "small_world", 0.56),
    association("crop_agreement", "knn", "small_world", -0.5),
    association("crop_agreement", "knn", "cifar10", 0.3, low=None, encoders=48),
    association("rankme", "knn", "cifar10", 0.1),
    association("lidar", "knn", "cifar10", None),
]
BESIDE = [
    association("crop_agreement", "best_linear", "small_world", 0.9),
    association("crop_agreement", "linear", "small_world", 0.48, without=["random"]),
    association("crop_agreement", "knn", "small_world", None, without=["random"]),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = Project(tmp_path)
    board.file(found, {"name": "label_free", "rules": [*RULES, {"rule": "a > b"}], "beside": BESIDE})
    return found


def test_a_score_is_quoted_with_its_intervals_on_each_data_set(project: Project) -> None:
    assert label_free_study.quoted(project)[0] == (
        "Over 50 encoders on small world, crop agreement orders them as linear accuracy does with rho +0.56 (+0.36 to "
        "+0.66; without controls +0.48) and as k-NN accuracy does with rho −0.50 (−0.70 to −0.40); over 48 encoders on "
        "cifar10, crop agreement orders them as k-NN accuracy does with rho +0.30 (no interval)."
    )


def test_every_score_that_has_a_number_is_quoted_with_a_caution(project: Project) -> None:
    _, second, caution = label_free_study.quoted(project)
    assert second.endswith("cifar10, rankme orders them as k-NN accuracy does with rho +0.10 (−0.10 to +0.20).")
    assert caution == label_free_study.CAUTION


def test_without_the_study_nothing_is_quoted(tmp_path: Path) -> None:
    assert label_free_study.quoted(Project(tmp_path)) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"rules": [3]}', '{"rules": [{"association": 3}]}'])
def test_a_file_that_is_no_outcome_is_named(project: Project, text: str) -> None:
    (project.root / "results" / "studies" / "label_free.json").write_text(text)
    with pytest.raises(ValueError, match=r"label_free\.json is no outcome of a study .* run the study again"):
        label_free_study.quoted(project)


def test_the_report_quotes_it_beside_the_protocol(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = (project.root / "results" / "studies" / "label_free.json").rename(project.root / "results/studies/knn.json")
    monkeypatch.setattr(label_free_study, "STUDY", "knn")
    content = parameters(["random", "rotation"], {"name": "world", "reader": "world", "source": "world.py", "size": 32})
    make(project.root, "world", content)
    page, _ = written(project.root, content)
    assert page.count("without controls +0.48") == 1
    assert 'from the study <a href="studies.html">label_free</a>' in page
    outcome.unlink()
    page, _ = written(project.root, content)
    assert "from the study" not in page
