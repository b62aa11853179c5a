"""What a study's file may not say: refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.project.project import Project
from tasks.settings.schema import ParameterError
from tasks.studies import study
from tests.tasks.test_studies import CONTENT, QUICK, load, root  # noqa: F401 - a fixture

WHERE = r"studies/trial\.yaml"
RULE = rf"{WHERE}: rule 1"
KNN: dict[str, Any] = {"protocol": "knn"}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"claim": None}, rf"{WHERE}: 'claim' is missing \(str\)"),
    ({"full": None}, rf"{WHERE}: 'full' is missing"),
    ({"titel": "x"}, rf"{WHERE}: unknown setting 'titel'\. Did you mean 'title'\?"),
    ({"title": 3}, rf"{WHERE}\.title: 3 is not of type str"),
    ({"published__numbers": None}, rf"{WHERE}: published: 'numbers' is missing"),
    ({"published__note": "x"}, rf"{WHERE}: published: unknown setting 'note'"),
    ({"measures__x": "rotation"}, rf"{WHERE}: measures\.x must be a mapping such as"),
    ({"measures__x": KNN}, rf"{WHERE}: measures\.x: give either 'run' or 'runs'"),
    ({"measures__x": {"run": "rotation", "runs": ["rotation"], **KNN}}, r"measures\.x: give either 'run' or 'runs'"),
    ({"measures__x": {"run": "rotation"}}, rf"{WHERE}: measures\.x: 'protocol' is missing"),
    ({"measures__x": {"run": "rotatoin", **KNN}}, r"measures\.x: unknown target 'rotatoin-knn'.*'rotation-knn'\?"),
    (
        {"measures__x": {"runs": ["rotation", "rotation_cf"], "layers": ["res4", "res5"], **KNN}},
        r"measures\.x: give several runs or several layers, not both",
    ),
    ({"measures__x": {"run": "rotation", **KNN, "at": {"clusters": 5}}}, r"x\.at: the quick grid has no clusters 5"),
    ({"measures__x": {"run": "rotation", **KNN, "at": {"epochs": 4}}}, r"x\.at: the quick grid has no epochs 4"),
    (
        {"measures__x": {"runs": ["rotation", "rotation_cf"], **KNN}},
        r"measures\.x is of several.*which clusters by 'at'",
    ),
    ({"published__numbers": {"a": [40.0, "x"]}}, r"published\.numbers\.a\.1 is 'x'; it must be a number"),
    ({"axis": "clustres"}, rf"{WHERE}: axis: unknown setting of the grid 'clustres'\. Did you mean 'clusters'\?"),
    ({"shown": ["refited"]}, rf"{WHERE}: shown: unknown measure 'refited'\. Did you mean 'refitted'\?"),
    ({"rules": []}, rf"{WHERE}: without a rule there is no verdict"),
    ({"rules": ["a > b"]}, rf"{RULE} must be a mapping such as \{{greater: a, than: b\}}"),
    ({"rules": [{"greater": "pretrained"}]}, rf"{RULE}: 'than' is missing"),
    ({"rules": [{"greater": "pretrained", "then": 1, "than": 0}]}, rf"{RULE}: unknown setting 'then'.*'than'\?"),
    ({"rules": [{"greater": "pretrained", "than": ["x"]}]}, rf"{RULE}\.than: \['x'\] is not of type"),
    ({"rules": [{"greater": 1, "than": 0.5}]}, rf"{RULE} names no measure"),
    ({"rules": [{"greater": "pretrained", "than": 0, "negligible": 0}]}, rf"{RULE}\.negligible is 0; it must be above"),
    ({"rules": [{"greater": "pretraind", "than": 0}]}, rf"{RULE}: unknown measure 'pretraind'.*'pretrained'\?"),
    ({"rules": [{"greater": "pretrained * 2", "than": 0}]}, "'pretrained \\* 2' must be measures and numbers"),
    ({"rules": [{"greater": "refitted@5", "than": 0}]}, rf"{RULE}: the quick grid has no clusters 5"),
    ({"rules": [{"greater": "refitted", "than": 0}]}, rf"{RULE}: 'refitted' stands for several points"),
    ({"axis": ""}, r"measures\.refitted leaves clusters open; say which by 'at'"),
    ({"rules": [{"greater": "", "than": "pretrained"}]}, "a rule's side is empty"),
    ({"rules": [{"correlation": "both", "with": "both", "above": 0}]}, rf"{RULE}: .* over encoders: add 'over: enc"),
    ({"floor": "untrained"}, rf"{WHERE}: floor: unknown measure 'untrained'"),
    ({"floor": "both"}, rf"{WHERE}: floor: 'both' must be one number of which more is better"),
    ({"full": {**QUICK, "seeds": []}}, rf"{WHERE}: full: seeds is \[\]; it must be a list"),
    ({"full": {**QUICK, "targets": ["rotation-knn", "rotation_cf-knn"]}}, r"measures\.loss: unknown target 'rotation'"),
    ({"full": {**QUICK, "grid": {"clusterfit.rotation_cf.clusters": [4]}}}, "the full grid has no clusters 8"),
    ({"measures": {"small": {"runs": [], "protocol": "knn"}}}, "measures.small.runs is empty"),
    ({"measures": {"small": {"runs": [["rotation"]], "protocol": "knn"}}}, r"runs: .* is not of type str\|list\[str\]"),
    ({"shown": [["small"]]}, r"shown: .* is not of type list\[str\]"),
    ({"published": {"measure": "m", "numbers": {"a": True}}}, "published.numbers.a is True; it must be a number"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_cannot_be_judged_is_refused_before_anything_runs(
    root: Path,  # noqa: F811
    changes: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(ParameterError, match=message):
        load(root, **changes)


def test_a_study_that_is_not_there_is_told_with_the_closest(root: Path) -> None:  # noqa: F811
    load(root)
    with pytest.raises(ParameterError, match=r"studies/: unknown study 'trail'\. Did you mean 'trial'\?"):
        study.load(Project(root), "trail")
    (root / "studies" / "trial.yaml").write_text("a: [")
    with pytest.raises(ParameterError, match=r"studies/trial\.yaml is not valid YAML"):
        study.load(Project(root), "trial")
    (root / "studies" / "trial.yaml").write_text("- a")
    with pytest.raises(ParameterError, match=r"studies/trial\.yaml must be a mapping"):
        study.load(Project(root), "trial")
